//! `cargo xtask tidy`: rules of this repository that no compiler knows, checked over its text.

mod code;
mod crates;
mod docs;

use std::{fs, io, path::Path};

/// One file of the repository: its path from the root, with `/`, and its text, which is empty for a picture.
struct Source {
    path: String,
    text: String,
    /// It is compiled for tests alone.
    is_test: bool,
}

/// Prints each finding as `path:line: what`, and fails if there is one.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let mut sources = Vec::new();
    collect(root, root, &mut sources).map_err(|error| format!("cannot read the sources: {error}"))?;
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    mark_tests(&mut sources);
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

    /// A crate's sources and xtask's, without the files that are tests.
    fn is_product(&self) -> bool {
        let shipped =
            self.path.starts_with("crates/") && self.path.contains("/src/") || self.path.starts_with("xtask/");
        self.is_rust() && shipped && !self.is_test
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
            sources.push(Source { path, text, is_test: false });
        }
    }
    Ok(())
}

/// Marks the files of modules that are declared under `#[cfg(test)]`.
fn mark_tests(sources: &mut [Source]) {
    let mut tests = Vec::new();
    for source in sources.iter().filter(|source| source.is_rust()) {
        let folder = ["/mod.rs", "/lib.rs", "/main.rs", ".rs"].iter().find_map(|end| source.path.strip_suffix(end));
        let lines = source.text.lines().zip(source.text.lines().skip(1));
        let modules = lines.filter(|(above, _)| *above == "#[cfg(test)]");
        let names = modules.filter_map(|(_, line)| line.strip_prefix("mod ")?.strip_suffix(';'));
        tests.extend(names.map(|name| format!("{}/{name}.rs", folder.unwrap_or_default())));
    }
    for source in sources {
        source.is_test = tests.contains(&source.path);
    }
}

#[cfg(test)]
fn findings(check: fn(&[Source], &mut Vec<String>), files: &[(&str, &str)]) -> Vec<String> {
    let source = |(path, text): &(&str, &str)| Source { path: (*path).into(), text: (*text).into(), is_test: false };
    let mut sources: Vec<Source> = files.iter().map(source).collect();
    mark_tests(&mut sources);
    let mut findings = Vec::new();
    check(&sources, &mut findings);
    findings
}
