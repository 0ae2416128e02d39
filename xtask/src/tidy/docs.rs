//! What the documents promise: every flag and signal is in them, their links lead somewhere, and no file names one
//! person's machine.

use std::collections::BTreeSet;

use super::{Source, find};

/// The text of `--help`, which a test of the CLI keeps true.
const HELP: &str = "crates/cli/src/flags/help.txt";

pub(super) fn check(sources: &[Source], findings: &mut Vec<String>) {
    check_flags(sources, findings);
    check_signals(sources, findings);
    for source in sources {
        if source.path.ends_with(".md") {
            check_links(sources, source, findings);
        }
        check_machine_paths(source, findings);
    }
}

fn check_flags(sources: &[Source], findings: &mut Vec<String>) {
    let Some(help) = find(sources, HELP) else {
        findings.push(format!("{HELP}:1: missing: the flags are read from it"));
        return;
    };
    let flags = words(&help.text, |c| c == '-' || c.is_ascii_lowercase()).filter(|word| word.starts_with("--"));
    demand(sources, "docs/settings.md", flags.collect(), findings);
}

fn check_signals(sources: &[Source], findings: &mut Vec<String>) {
    let is_signal = |word: &&str| {
        word.strip_prefix("SIG").is_some_and(|rest| {
            rest.len() > 2 && rest.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
        })
    };
    let code = sources.iter().filter(|source| source.is_product() && source.path.starts_with("crates/arbiter/src/"));
    // The docs may leave the prefix out, as people do.
    let signals: BTreeSet<&str> = code
        .flat_map(|source| words(&source.text, |c| c == '_' || c.is_ascii_alphanumeric()))
        .filter(is_signal)
        .map(|signal| &signal[3..])
        .collect();
    if signals.is_empty() {
        findings.push("crates/arbiter/src:1: no signal is named there: this check has lost its way".to_owned());
    }
    demand(sources, "docs/signals.md", signals, findings);
}

/// Each of `wanted` stands in `document`, as a word of its own.
fn demand(sources: &[Source], document: &str, wanted: BTreeSet<&str>, findings: &mut Vec<String>) {
    let text = find(sources, document).map_or("", |source| &source.text);
    let there: BTreeSet<&str> = words(text, |c| c == '-' || c.is_ascii_alphanumeric())
        .map(|word| word.strip_prefix("SIG").unwrap_or(word))
        .collect();
    for word in wanted.difference(&there) {
        findings.push(format!("{document}:1: does not mention {word}"));
    }
}

fn check_links(sources: &[Source], page: &Source, findings: &mut Vec<String>) {
    for (number, line) in page.lines() {
        for link in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            let path = resolve(&page.path, target);
            let folder = format!("{}/", path.trim_end_matches('/'));
            let exists = sources.iter().any(|source| source.path == path || source.path.starts_with(&folder));
            if !exists {
                findings.push(format!("{}:{number}: the link {link} leads nowhere", page.path));
            }
        }
    }
}

/// `target` as seen from `page`, from the root.
fn resolve(page: &str, target: &str) -> String {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    parts.join("/")
}

fn check_machine_paths(source: &Source, findings: &mut Vec<String>) {
    if source.path.starts_with("xtask/src/tidy/") {
        return;
    }
    for (number, line) in source.lines() {
        for path in ["/root/", "/home/", "/Users/", "/tmp/target"] {
            if line.contains(path) {
                findings.push(format!("{}:{number}: {path} is a path of one machine", source.path));
            }
        }
    }
}

/// The longest runs of characters that `belongs` accepts.
fn words(text: &str, belongs: impl Fn(char) -> bool) -> impl Iterator<Item = &str> {
    text.split(move |c| !belongs(c)).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::{super::findings, check};

    const SIGNALS: (&str, &str) = ("crates/arbiter/src/sys/signal.rs", "SIGTERM => Sig::Term, SIG_BLOCK, SIGUSR1");

    #[test]
    fn a_flag_or_a_signal_that_the_docs_leave_out_is_found() {
        let help = ("crates/cli/src/flags/help.txt", "  -b, --bind <ADDRESS>  see --backlog\n  --no-docs\n");
        let settings = ("docs/settings.md", "| `-b`, `--bind` | `--backlogs` |");
        let signals = ("docs/signals.md", "| SIGTERM | and `USR1` |");
        let found = findings(check, &[help, settings, signals, SIGNALS]);
        assert_eq!(
            found,
            ["docs/settings.md:1: does not mention --backlog", "docs/settings.md:1: does not mention --no-docs",]
        );
    }

    #[test]
    fn a_dead_link_is_found() {
        let help = ("crates/cli/src/flags/help.txt", "");
        let page = ("docs/drain.md", "[a](settings.md) [b](../README.md#top) [c](https://example.org) [d](gone.md)");
        let files =
            [help, page, SIGNALS, ("docs/settings.md", ""), ("README.md", ""), ("docs/signals.md", "TERM USR1")];
        assert_eq!(findings(check, &files), ["docs/drain.md:1: the link gone.md leads nowhere"]);
    }

    #[test]
    fn a_path_of_one_machine_is_found() {
        let files = [
            ("crates/cli/src/flags/help.txt", ""),
            SIGNALS,
            ("docs/signals.md", "TERM USR1"),
            ("README.md", "cd /home/me/rserve"),
        ];
        assert_eq!(findings(check, &files), ["README.md:1: /home/ is a path of one machine"]);
    }
}
