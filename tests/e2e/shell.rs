//! What packagers take from the program: completions and man pages.

use std::{
    fs,
    process::{Command, Stdio},
};

use crate::support::skip;

fn rserve(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_rserve")).args(args).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The flags that `--help` lists.
fn flags() -> Vec<String> {
    let help = rserve(&["--help"]);
    // A line of text may begin with a flag as well, but further in.
    let lines = help.lines().filter(|line| line.starts_with("  -") || line.starts_with("      --"));
    let flag = |line: &str| {
        let mut words = line.split(|c: char| !(c == '-' || c.is_ascii_alphanumeric()));
        words.find(|word| word.starts_with("--")).map(str::to_owned)
    };
    let flags: Vec<String> = lines.filter_map(flag).collect();
    assert!(flags.len() > 40, "{flags:?}");
    flags
}

#[test]
fn every_flag_is_in_the_completions_and_in_the_man_page() {
    for what in ["bash", "zsh", "fish", "man"] {
        // roff writes a dash as \-, and fish leaves the dashes of a long option out.
        let text = rserve(&["shell", what]).replace("\\-", "-");
        for flag in flags() {
            let wanted = if what == "fish" { flag.trim_start_matches('-') } else { &flag };
            assert!(text.contains(wanted), "{what}: no {flag}");
        }
    }
}

#[test]
fn bash_completes_flags_values_and_subcommands() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rserve");
    fs::write(&file, rserve(&["shell", "bash"])).unwrap();
    let complete = |words: &[&str]| {
        let script = r#"
            source "$0"
            COMP_WORDS=(rserve "$@"); COMP_CWORD=$#
            "$(complete -p rserve | sed 's/.*-F \([^ ]*\).*/\1/')" rserve "${!#}" "${COMP_WORDS[COMP_CWORD - 1]}"
            printf '%s\n' "${COMPREPLY[@]}""#;
        let output = Command::new("bash").args(["-c", script]).arg(&file).args(words).output().unwrap();
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(complete(&["--drain-on"]), ["--drain-on-term"]);
    assert_eq!(complete(&["-w", "2", "--worker-class", "thr"]), ["threaded"]);
    assert_eq!(complete(&["--log-format", ""]), ["text", "json"]);
    assert_eq!(complete(&["drain-c"]), ["drain-check"]);
    assert_eq!(complete(&["drain-check", "--st"]), ["--stops"]);
}

#[test]
fn shells_that_are_here_find_no_fault() {
    for shell in ["bash", "zsh", "fish"] {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("completions");
        fs::write(&file, rserve(&["shell", shell])).unwrap();
        match Command::new(shell).arg("-n").arg(&file).output() {
            Ok(output) => assert!(output.status.success() && output.stderr.is_empty(), "{shell}: {output:?}"),
            Err(_) => skip(&format!("{shell} is not installed")),
        }
    }
}

#[test]
fn man_finds_no_fault() {
    for (what, title) in [("man", "rserve(1)"), ("man-drain-check", "rserve-drain-check(1)")] {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("page.1");
        fs::write(&file, rserve(&["shell", what])).unwrap();
        let mut man = Command::new("man");
        match man.args(["--warnings", "-l"]).arg(&file).env("LC_ALL", "C").stdin(Stdio::null()).output() {
            Ok(output) => {
                assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
                assert!(String::from_utf8_lossy(&output.stdout).contains(title));
            }
            Err(_) => skip("man is not installed"),
        }
    }
}

#[test]
fn version_is_one_line_or_tells_of_the_build() {
    let version = format!("rserve {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(rserve(&["-V"]), version);
    let long = rserve(&["--version"]);
    assert!(long.starts_with(&version), "{long}");
    for (line, about) in long.lines().skip(1).zip(["commit: ", "target: ", "profile: ", "compiler: rustc "]) {
        assert!(line.starts_with(about) && !line.contains('/'), "{line}");
    }
    assert_eq!(long.lines().count(), 5);
}
