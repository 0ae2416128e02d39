//! The lines that a server has written, kept as they come so that a check can wait for one.

use std::{
    io::{BufRead, BufReader, Read},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

/// All lines of one server, from standard output and standard error alike.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    lines: Vec<String>,
    readers: usize,
}

impl Log {
    /// Reads `pipe` to its end in a thread of its own.
    pub(crate) fn follow(&self, pipe: impl Read + Send + 'static) {
        self.state().readers += 1;
        let log = self.clone();
        thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                log.state().lines.push(String::from_utf8_lossy(&line).into_owned());
                log.0.changed.notify_all();
            }
            log.state().readers -= 1;
            log.0.changed.notify_all();
        });
    }

    /// The first message that `wanted` accepts, with its fields, waiting up to `bound` for it. Gives up early when every
    /// writer has closed its end, for then nothing more can come.
    pub(crate) fn wait_for(&self, bound: Duration, wanted: impl Fn(&str) -> bool) -> Option<Value> {
        let deadline = Instant::now() + bound;
        let (mut seen, mut state) = (0, self.state());
        loop {
            let found = state.lines[seen..]
                .iter()
                .filter_map(|line| serde_json::from_str::<Value>(line).ok())
                .find(|line| line.get("message").and_then(Value::as_str).is_some_and(&wanted));
            if found.is_some() {
                return found;
            }
            seen = state.lines.len();
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || state.readers == 0 {
                return None;
            }
            state = self.0.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The lines as one text, to show with a failure.
    pub(crate) fn text(&self) -> String {
        self.state().lines.join("\n")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
