//! `cargo xtask tidy`: rules of this repository that no compiler knows, checked over its text.

mod code;
mod crates;
mod docs;

use std::{fs, io, path::Path};

/// One file of the repository: its path from the root, with `/`, and its text, which is empty for a picture.
struct Source {
    path: String,
    text: String,
}

/// Prints each finding as `path:line: what`, and fails if there is one.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let mut sources = Vec::new();
    collect(root, root, &mut sources).map_err(|error| format!("cannot read the sources: {error}"))?;
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    let mut findings = Vec::new();
    crates::check(&sources, &mut findings);
    code::check(&sources, &mut findings);
    docs::check(&sources, &mut findings);
    for finding in &findings {
        println!("    {finding}");
    }
    if findings.is_empty() {
        println!("    {} files are tidy", sources.len());
        return Ok(());
    }
    Err(format!("tidy has {} finding(s), listed above", findings.len()))
}

impl Source {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Code that ships: a crate's sources and xtask's, without their test modules.
    fn is_product(&self) -> bool {
        let shipped =
            self.path.starts_with("crates/") && self.path.contains("/src/") || self.path.starts_with("xtask/");
        self.is_rust() && shipped && !self.path.ends_with("/tests.rs") && !self.path.contains("/tests/")
    }

    /// The lines with their numbers, from 1.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }
}

fn find<'a>(sources: &'a [Source], path: &str) -> Option<&'a Source> {
    sources.iter().find(|source| source.path == path)
}

/// Reads every file below `folder`, but for build output and hidden folders.
fn collect(root: &Path, folder: &Path, sources: &mut Vec<Source>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let name = entry.file_name();
        let hidden = name.to_string_lossy().starts_with('.') && name != ".ci";
        if hidden || name == "target" || name == "Cargo.lock" {
            continue;
        }
        if entry.file_type()?.is_dir() {
            collect(root, &path, sources)?;
        } else {
            let text = String::from_utf8(fs::read(&path)?).unwrap_or_default();
            let path = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            sources.push(Source { path, text });
        }
    }
    Ok(())
}

#[cfg(test)]
fn findings(check: fn(&[Source], &mut Vec<String>), files: &[(&str, &str)]) -> Vec<String> {
    let sources: Vec<Source> =
        files.iter().map(|(path, text)| Source { path: (*path).into(), text: (*text).into() }).collect();
    let mut findings = Vec::new();
    check(&sources, &mut findings);
    findings
}
