//! The class is in the command line of the program that adds it.

use std::process::{Command, Output};

fn run(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_custom-worker")).args(words).output().expect("it was built")
}

#[test]
fn the_help_names_the_class() {
    let help = String::from_utf8(run(&["--help"]).stdout).expect("the help is text");
    let words = help.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("thread-per-connection, a thread for each connection, one request on each"), "{help}");
}

#[test]
fn what_the_class_does_not_know_is_refused_at_the_start() {
    let output = run(&["-k", "thread-per-connection", "-b", "127.0.0.1:0", "--proxy-protocol"]);
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(log.contains("leave it out"), "{log}");
    assert_eq!(output.status.code(), Some(3));
}
