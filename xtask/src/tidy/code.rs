//! Rules for the Rust sources: their length, `unsafe`, tests that are skipped, and work left open.

use super::Source;

/// Beyond this a file is a drawer, not a room.
const LONGEST: usize = 450;

/// How many lines above an `unsafe` its SAFETY comment may begin.
const SAFETY_REACH: usize = 8;

/// The only code that ships with `unsafe` in it.
const UNSAFE_HOMES: [&str; 2] = ["crates/arbiter/src/sys", "crates/python/src/host.rs"];

pub(super) fn check(sources: &[Source], findings: &mut Vec<String>) {
    for source in sources.iter().filter(|source| source.is_rust()) {
        check_length(source, findings);
        check_unsafe(source, findings);
        check_open_ends(source, findings);
        if source.path.ends_with("/src/lib.rs") || source.path.ends_with("/src/main.rs") {
            check_forbids_unsafe(source, findings);
        }
    }
}

fn check_length(source: &Source, findings: &mut Vec<String>) {
    let lines = source.text.lines().count();
    if source.is_product() && lines > LONGEST {
        findings.push(format!("{}:{lines}: {lines} lines, over {LONGEST}: split it", source.path));
    }
}

fn check_unsafe(source: &Source, findings: &mut Vec<String>) {
    let lines: Vec<&str> = source.text.lines().collect();
    for (index, line) in lines.iter().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        if !["unsafe {", "unsafe fn ", "unsafe impl ", "unsafe extern "].iter().any(|word| code.contains(word)) {
            continue;
        }
        if source.is_product() && !UNSAFE_HOMES.iter().any(|home| source.path.starts_with(home)) && !in_quotes(code) {
            findings.push(format!(
                "{}:{}: unsafe code lives in {} only",
                source.path,
                index + 1,
                UNSAFE_HOMES.join(" and ")
            ));
        }
        let above = &lines[index.saturating_sub(SAFETY_REACH)..=index];
        if !in_quotes(code) && !above.iter().any(|line| line.contains("SAFETY:") || line.contains("# Safety")) {
            findings.push(format!("{}:{}: unsafe without a SAFETY comment above it", source.path, index + 1));
        }
    }
}

/// Whether the word `unsafe` on this line stands inside a string, as it does in this file.
fn in_quotes(code: &str) -> bool {
    code.find("unsafe").is_some_and(|at| code[..at].matches('"').count() % 2 == 1)
}

fn check_forbids_unsafe(source: &Source, findings: &mut Vec<String>) {
    let has_home = UNSAFE_HOMES
        .iter()
        .any(|home| home.split_once("/src/").is_some_and(|(folder, _)| source.path.starts_with(folder)));
    let wanted = if has_home { "#![deny(unsafe_code)]" } else { "#![forbid(unsafe_code)]" };
    if !source.text.contains(wanted) {
        findings.push(format!("{}:1: {wanted} is missing", source.path));
    }
}

fn check_open_ends(source: &Source, findings: &mut Vec<String>) {
    for (number, line) in source.lines() {
        let line = line.trim_start();
        if line.starts_with("#[ignore]") {
            findings.push(format!("{}:{number}: an ignored test needs its reason: #[ignore = \"…\"]", source.path));
        }
        for word in ["todo!(", "unimplemented!(", "FIXME", "XXX"] {
            if line.contains(word) && !source.path.starts_with("xtask/src/tidy/") {
                findings.push(format!("{}:{number}: `{word}`: finish it or take it out", source.path));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::findings, check};

    #[test]
    fn a_long_file_is_found_unless_it_holds_tests() {
        let long = "\n".repeat(451);
        let parent = format!("{}#[cfg(test)]\nmod tests;\n", "\n".repeat(449));
        let found =
            findings(check, &[("crates/http/src/codec.rs", &parent), ("crates/http/src/codec/tests.rs", &long)]);
        assert_eq!(found, ["crates/http/src/codec.rs:451: 451 lines, over 450: split it"]);
    }

    #[test]
    fn unsafe_needs_its_home_and_its_comment() {
        let bare = "fn f() {\n    unsafe { g() }\n}\n";
        let argued = "fn f() {\n    // SAFETY: g has no conditions.\n    unsafe { g() }\n}\n";
        let at_home = findings(check, &[("crates/arbiter/src/sys/fork.rs", argued)]);
        assert!(at_home.is_empty(), "{at_home:?}");
        let uncommented = findings(check, &[("crates/arbiter/src/sys/fork.rs", bare)]);
        assert_eq!(uncommented, ["crates/arbiter/src/sys/fork.rs:2: unsafe without a SAFETY comment above it"]);
        let abroad = findings(check, &[("crates/http/src/codec.rs", argued)]);
        assert_eq!(
            abroad,
            [
                "crates/http/src/codec.rs:3: unsafe code lives in crates/arbiter/src/sys and crates/python/src/host.rs only"
            ]
        );
    }

    #[test]
    fn every_crate_root_fences_unsafe() {
        let found = findings(check, &[("crates/http/src/lib.rs", "//! Nothing.\n")]);
        assert_eq!(found, ["crates/http/src/lib.rs:1: #![forbid(unsafe_code)] is missing"]);
    }

    #[test]
    fn an_ignored_test_without_a_reason_is_found() {
        let text = "#[ignore]\nfn a() {}\n#[ignore = \"needs two machines\"]\nfn b() {}\n";
        let found = findings(check, &[("tests/e2e/drain.rs", text)]);
        assert_eq!(found.len(), 1, "{found:?}");
    }
}
