//! The lines a server has written, kept as they come so that a test can wait for one.

use std::{
    io::{BufRead, BufReader, Read},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

/// One line of output.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) text: String,
}

impl Line {
    /// The message of a JSON line, or the whole of a text line.
    pub(crate) fn message(&self) -> String {
        match self.field("message") {
            Some(Value::String(message)) => message,
            _ => self.text.clone(),
        }
    }

    /// A field of a JSON line.
    pub(crate) fn field(&self, name: &str) -> Option<Value> {
        let line: Value = serde_json::from_str(&self.text).ok()?;
        line.get(name).or_else(|| line.get("fields")?.get(name)).cloned()
    }
}

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
    lines: Vec<Line>,
    readers: usize,
}

impl Log {
    /// Reads `pipe` to its end in a thread of its own.
    pub(crate) fn follow(&self, pipe: impl Read + Send + 'static) {
        self.state().readers += 1;
        let log = self.clone();
        thread::spawn(move || {
            for line in BufReader::new(pipe).lines() {
                let Ok(text) = line else { break };
                log.state().lines.push(Line { text });
                log.0.changed.notify_all();
            }
            log.state().readers -= 1;
            log.0.changed.notify_all();
        });
    }

    /// The first line that `wanted` accepts, waiting up to `bound` for it. Gives up early when every writer has closed
    /// its end, for then nothing more can come.
    pub(crate) fn wait_for(&self, bound: Duration, mut wanted: impl FnMut(&Line) -> bool) -> Option<Line> {
        let deadline = Instant::now() + bound;
        let (mut seen, mut state) = (0, self.state());
        loop {
            if let Some(line) = state.lines[seen..].iter().find(|line| wanted(line)) {
                return Some(line.clone());
            }
            seen = state.lines.len();
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || state.readers == 0 {
                return None;
            }
            state = self.0.changed.wait_timeout(state, left).expect("no reader has panicked").0;
        }
    }

    /// Waits until every writer has closed its end, so that the log is whole.
    pub(crate) fn wait_for_end(&self, bound: Duration) {
        self.wait_for(bound, |_| false);
    }

    /// Whether every process that could write has ended.
    pub(crate) fn ended(&self) -> bool {
        self.state().readers == 0
    }

    /// The lines as one text, to print when a test fails.
    pub(crate) fn text(&self) -> String {
        self.state().lines.iter().map(|line| format!("{}\n", line.text)).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("no reader has panicked")
    }
}
