//! What the tests share: the server under test, clients of several kinds, and a network of their own.

mod log;
mod process;
mod report;
mod server;
mod target;

pub(crate) mod balancer;
pub(crate) mod http;
pub(crate) mod kernel;
pub(crate) mod net;
pub(crate) mod peers;
pub(crate) mod slow;
pub(crate) mod soak;
pub(crate) mod streams;

pub(crate) use log::Line;
pub(crate) use process::{Held, alive, children, cpu_time, send, status, title, zombies};
pub(crate) use rserve_drain_check::{Exchange, Loss, Outcome, Tally, Target, free_port};
pub(crate) use server::{Builder, Server, wait_until};
pub(crate) use target::Socket;

use std::{
    io::{self, Write},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
};

/// The clients that `rserve drain-check` has, too.
pub(crate) mod load {
    pub(crate) use rserve_drain_check::{Ask, Load, Method, Shape};
}

/// Says why a test cannot run here. Not with `println!`, which the test runner keeps to itself when a test passes.
pub(crate) fn skip(why: &str) {
    let _ = writeln!(io::stderr(), "test {} skipped: {why}", thread::current().name().unwrap_or("?"));
}

/// Runs each test body once for every worker class. A new class is a few more lines here.
///
/// Those after `one at a time:` are about a worker that runs one request at a time, or whose time tells what they test.
macro_rules! each_class {
    ($($body:ident),+ $(,)? $(; one at a time: $($alone:ident),+ $(,)?)?) => {
        $(mod $body {
            #[test]
            fn sync() {
                super::$body("sync");
            }

            #[test]
            fn threaded() {
                super::$body("threaded --threads 4");
            }

            #[test]
            fn r#async() {
                super::$body("async");
            }
        })+
        $($(mod $alone {
            #[test]
            fn sync() {
                super::$alone("sync");
            }

            #[test]
            fn threaded() {
                super::$alone("threaded");
            }
        })+)?
    };
}
pub(crate) use each_class;

/// A path whose handler takes so long that a worker of this class answers twenty of it in a second. (The class async has too
/// many threads for that.)
pub(crate) fn twenty_a_second(class: &str) -> String {
    let threads: usize = class.split_once(" --threads ").map_or(1, |(_, threads)| threads.parse().expect("a number"));
    format!("/sleep/{}", 50 * threads)
}

/// Waits for this test's turn to load the machine. Tests that measure time or send much hold it, so that two of them
/// never disturb each other on a machine of two cores.
pub(crate) fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}
