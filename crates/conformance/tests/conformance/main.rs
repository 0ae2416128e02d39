//! The kit, tried on worker classes that are right and on some that are wrong: a check that cannot fail shows nothing.
//!
//! This file is its own server: started with a variable in its environment it is `rserve` with the wrong classes in it.

mod wrong;

use std::{
    env,
    error::Error,
    process::{Command, ExitCode},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use rserve::Server;
use rserve_conformance::Check;

const IS_SERVER: &str = "CONFORMANCE_TEST_IS_SERVER";

/// A wrong class, a check that must find it out, and words that must stand in what was seen or in the advice.
const WRONG: &[(&str, &str, &str)] = &[
    ("naive", "drains-its-backlog", "go on accepting for as long as Context::may_accept says so"),
    ("naive", "drains-its-backlog-on-a-unix-socket", "got no answer"),
    ("naive", "loses-nobody-under-load", "go on accepting"),
    ("deaf", "beats-when-idle", "wait no longer than Context::wait_limit"),
    ("busy", "beats-under-load", "return after a few requests"),
    ("endless", "ends-when-idle", "drain_step must say Done"),
    ("endless", "is-replaced-unnoticed", "15 s after SIGHUP the workers"),
    ("hasty", "answers-late-requests", "keep a client that has not spoken yet for 3 s"),
    ("careless", "finishes-what-it-holds", "say Pending"),
    ("careless", "finishes-what-it-holds-in-a-drain", "say Pending"),
    ("careless", "is-cut-at-the-deadline", "with a request in hand it left"),
    ("nameless", "is-cut-at-the-deadline", "no line of the log names what was cut"),
    ("lonely", "is-found-out-when-stuck", "nothing would ever end that"),
    ("litters", "ends-when-idle", "have outlived the arbiter"),
    ("blocks", "beats-beside-slow-clients", "beside a client that sent nothing"),
    ("touchy", "outlives-its-clients", "an error of one connection is no error of the step"),
    ("drops-tickets", "drains-its-backlog", "connections count as aborted"),
    ("counts-nothing", "drains-its-backlog", "call Ticket::request once for each request"),
    ("keeps-open", "drains-its-backlog", "did not say Connection: close"),
    ("unknown", "serves", "the server does not start"),
];

fn main() -> ExitCode {
    if env::var_os(IS_SERVER).is_some() {
        return wrong::CLASSES.iter().fold(Server::new(), |server, class| server.worker_class(*class)).main();
    }
    match right_ones_pass().and_then(|right| wrong_ones_are_found_out().map(|()| right)) {
        Ok(right) => {
            println!("{right} classes are right, {} faults were found out", WRONG.len());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn check(class: &str) -> Result<Check, Box<dyn Error>> {
    Ok(Check::new(env::current_exe()?, class).env(IS_SERVER, "1"))
}

/// Every class that comes with the server; how many there are.
fn right_ones_pass() -> Result<usize, Box<dyn Error>> {
    let answer = Command::new(env::current_exe()?).env(IS_SERVER, "1").args(["-k", "none"]).output()?;
    let answer = String::from_utf8(answer.stderr)?;
    let (_, known) = answer.trim_end().trim_end_matches(')').split_once("(there are: ").ok_or(answer.as_str())?;
    let right: Vec<_> = known.split(", ").filter(|name| wrong::CLASSES.iter().all(|it| it.name != *name)).collect();
    for class in &right {
        let report = check(class)?.run();
        println!("{report}");
        if !report.failures().is_empty() {
            return Err(format!("{class} is right, and was found wrong").into());
        }
    }
    if right.contains(&"sync") { Ok(right.len()) } else { Err(format!("no sync among {right:?}").into()) }
}

fn wrong_ones_are_found_out() -> Result<(), Box<dyn Error>> {
    let (next, errors) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some((class, name, words)) = WRONG.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match is_found_out(class, name, words) {
                        Ok(()) => println!("test {class} is found out: {name} ... ok"),
                        Err(error) => errors.lock().expect("no thread panics").push(error.to_string()),
                    }
                }
            });
        }
    });
    let errors = errors.into_inner()?;
    if errors.is_empty() { Ok(()) } else { Err(errors.join("\n").into()) }
}

fn is_found_out(class: &str, name: &str, words: &str) -> Result<(), Box<dyn Error>> {
    let report = check(class)?.only(name).run();
    match report.failures() {
        [failure] if failure.saw.contains(words) || failure.advice.contains(words) => Ok(()),
        [] => Err(format!("{class} passed {name}").into()),
        _ => Err(format!("{class} failed {name}, but not with \"{words}\":\n{report}").into()),
    }
}
