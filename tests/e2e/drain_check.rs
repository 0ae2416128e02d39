//! `rserve drain-check`: it finds the losses that there are, and none where there are none.

use std::process::{Command, Output};

use crate::support::{each_class, peers, skip, turn};

each_class!(a_server_that_drains_is_clean);

fn a_server_that_drains_is_clean(class: &str) {
    let server = ["--", "--drain-on-term", "--drain-quiet", "0.5", "-k"].into_iter().chain(class.split(' '));
    let output = drain_check(&["--path", "/sleep/50"].into_iter().chain(server).collect::<Vec<_>>());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let (requests, lost) = verdict(&output);
    assert!(requests > 100, "{output:?}");
    assert_eq!(lost, 0, "{output:?}");
    assert!(text(&output.stderr).contains("stop 2 of 2, kept connections"), "it tells how far it is: {output:?}");
}

#[test]
fn a_server_that_does_not_drain_is_found_out() {
    let output = drain_check(&["--path", "/sleep/50"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(verdict(&output).1 > 10, "{output:?}");
    assert!(text(&output.stderr).ends_with("hint: --drain-on-term serves everybody who has connected\n"), "{output:?}");
}

#[test]
fn gunicorn_is_found_out() {
    let gunicorn = match peers::gunicorn() {
        Ok(gunicorn) => gunicorn,
        Err(why) => return skip(why),
    };
    let (gunicorn, apps) = (gunicorn.display(), peers::apps());
    let command = format!("{gunicorn} --chdir {} -w 2 -b 127.0.0.1:{{port}} slow:app", apps.display());
    let output = drain_check(&["--command", &command]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(verdict(&output).1 > 5, "{output:?}");
}

#[test]
fn what_cannot_be_checked_is_said() {
    for (words, code, said) in [
        (&["--command", "server -p 80"][..], 2, "{port}"),
        (&["--command", "'{port}"], 2, "each quote closed"),
        (&["--command", "/does/not/exist {port}"], 1, "/does/not/exist"),
        (&["--", "-b", ":80"], 2, "-b"),
        (&["--", "-w", "0"], 1, "--workers"),
        (&["--path", "/nothing"], 1, "404"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_rserve")).arg("drain-check").args(words).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        assert!(text(&output.stderr).contains(said), "{output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
    }
}

/// A stop with new connections and one with kept ones.
fn drain_check(words: &[&str]) -> Output {
    let _turn = turn();
    let mut command = Command::new(env!("CARGO_BIN_EXE_rserve"));
    command.args(["drain-check", "--stops", "1"]).args(words).output().unwrap()
}

/// How many requests there were, and how many were lost, by the last line.
fn verdict(output: &Output) -> (usize, usize) {
    let table = text(&output.stdout);
    let last = table.lines().last().unwrap_or_default();
    let numbers: Vec<usize> = last.split(' ').filter_map(|word| word.parse().ok()).collect();
    match numbers[..] {
        [lost, requests] => (requests, lost),
        _ => panic!("no verdict: {output:?}"),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
