use std::{
    ffi::OsString,
    fmt,
    io::{self, Read, Write},
    net::{Ipv4Addr, TcpStream},
    os::unix::ffi::{OsStrExt, OsStringExt},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};

use crate::{Ask, Error, Load, Report, Shape, Stop, Target, complete, free_port, process::Process};

/// A server to be stopped under load, and how.
///
/// ```no_run
/// use rserve_drain_check::Check;
///
/// let words = ["gunicorn", "-b", "127.0.0.1:{port}", "app:app"].map(Into::into);
/// let check = Check { path: "/slow".to_owned(), ..Check::new(words) };
/// let report = check.run(&mut std::io::stderr())?;
/// println!("{report}");
/// # Ok::<(), rserve_drain_check::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Check {
    /// The program and its arguments. `{port}` in them stands for the port on loopback that it is to listen on.
    pub command: Vec<OsString>,
    /// What the clients ask for. `/` by default.
    pub path: String,
    /// Requests a second. 100 by default.
    pub rate: f64,
    /// How many clients keep their connections, in the stops with such. 10 by default.
    pub clients: usize,
    /// How many stops with new connections, and how many with kept ones. 3 by default.
    pub stops: u32,
    /// How long clients come after SIGTERM, as they do until a balancer has learned of it. 1 second by default.
    pub after: Duration,
    /// How long the server may take to start, to answer, and to stop. 60 seconds by default.
    pub patience: Duration,
}

impl Check {
    /// A check of the server that `command` starts.
    pub fn new(command: impl Into<Vec<OsString>>) -> Self {
        Self {
            command: command.into(),
            path: "/".to_owned(),
            rate: 100.0,
            clients: 10,
            stops: 3,
            after: Duration::from_secs(1),
            patience: Duration::from_secs(60),
        }
    }

    /// Starts the server, loads it, stops it, again and again, and tells how far it is. Blocks for about four seconds
    /// a stop, plus what the server takes.
    ///
    /// Nothing is loaded but the server that was started, on loopback. Takes SIGINT and SIGTERM of this process, so as to
    /// stop the server before it ends, and may raise the limit of its open files.
    ///
    /// # Errors
    ///
    /// If the server cannot be started or does not answer, or a signal came.
    pub fn run(&self, progress: &mut dyn Write) -> Result<Report, Error> {
        if !self.command.iter().any(contains_port) {
            return Err(Error::NoPort);
        }
        let interrupted = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            flag::register(signal, Arc::clone(&interrupted))?;
        }
        self.allow_descriptors()?;
        let mut run = Run { check: self, progress, interrupted: &interrupted };
        let mut stops = Vec::new();
        let fresh = Shape::Fresh { rate: self.rate };
        let kept = Shape::Paced { clients: self.clients, rate: self.rate };
        for (connections, shape) in [("new", fresh), ("kept", kept)] {
            for _ in 0..self.stops {
                run.say(format_args!("stop {} of {}, {connections} connections: ", stops.len() + 1, 2 * self.stops));
                let stop = run.stop(connections, shape);
                run.say(format_args!("{}\n", stop.as_ref().map_or_else(|_| String::new(), Stop::in_brief)));
                stops.push(stop?);
            }
        }
        Ok(Report { stops })
    }

    /// Each client that waits for a response has a descriptor.
    fn allow_descriptors(&self) -> Result<(), Error> {
        let seconds = LONGEST_BEFORE + self.after.as_secs_f64();
        // A rate that is not finite or too high is cut by the kernel's limit.
        let wanted = (self.rate * seconds) as u64 + 100;
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(io::Error::from)?;
        if soft < wanted {
            setrlimit(Resource::RLIMIT_NOFILE, wanted.min(hard), hard).map_err(io::Error::from)?;
        }
        Ok(())
    }
}

/// Seconds of load before SIGTERM: a moment that the server cannot know.
const SHORTEST_BEFORE: f64 = 1.0;
const LONGEST_BEFORE: f64 = 1.5;

struct Run<'a> {
    check: &'a Check,
    progress: &'a mut dyn Write,
    interrupted: &'a AtomicBool,
}

impl Run<'_> {
    fn stop(&mut self, connections: &'static str, shape: Shape) -> Result<Stop, Error> {
        let check = self.check;
        let port = free_port();
        let target = Target::Tcp((Ipv4Addr::LOCALHOST, port).into());
        let mut server = Process::start(&with_port(&check.command, port))?;
        self.wait_until_it_answers(&mut server, port)?;
        let before = fastrand::f64().mul_add(LONGEST_BEFORE - SHORTEST_BEFORE, SHORTEST_BEFORE);
        self.say(format_args!("{} requests a second, ", check.rate));
        let load = Load::start(&target, Ask { patience: check.patience, ..Ask::from(check.path.as_str()) }, shape);
        server.wait(Instant::now() + Duration::from_secs_f64(before), || self.is_interrupted())?;
        self.say(format_args!("SIGTERM, "));
        let signalled = Instant::now();
        server.terminate();
        let last = signalled + check.after;
        let mut stopped = self.wait_for_end(&mut server, last, signalled)?;
        thread::sleep(last.saturating_duration_since(Instant::now()));
        load.no_more();
        if stopped.is_none() {
            stopped = self.wait_for_end(&mut server, signalled + check.patience, signalled)?;
        }
        // Whoever is still connected is cut now, so that nobody has to be waited for.
        drop(server);
        Ok(Stop { connections, tally: load.stop(), stopped })
    }

    fn wait_for_end(
        &self,
        server: &mut Process,
        deadline: Instant,
        signalled: Instant,
    ) -> Result<Option<Duration>, Error> {
        let status = server.wait(deadline, || self.is_interrupted())?;
        if self.is_interrupted() {
            return Err(Error::Interrupted);
        }
        Ok(status.map(|_| signalled.elapsed()))
    }

    fn wait_until_it_answers(&self, server: &mut Process, port: u16) -> Result<(), Error> {
        let deadline = Instant::now() + self.check.patience;
        loop {
            let look_again = Instant::now() + Duration::from_millis(50);
            if let Some(status) = server.wait(look_again, || self.is_interrupted())? {
                return Err(Error::NotStarted { status: status.to_string(), said: server.said() });
            }
            if self.is_interrupted() {
                return Err(Error::Interrupted);
            }
            match probe(port, &self.check.path, self.check.patience) {
                Ok(status @ 400..) => return Err(Error::Status { path: self.check.path.clone(), status }),
                Ok(_) => return Ok(()),
                Err(_) if Instant::now() < deadline => {}
                Err(_) => return Err(Error::NoAnswer { port, patience: self.check.patience, said: server.said() }),
            }
        }
    }

    fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    fn say(&mut self, what: fmt::Arguments<'_>) {
        // Whoever does not want to see how far it is closes it.
        let _ = self.progress.write_fmt(what).and_then(|()| self.progress.flush());
    }
}

/// The status of one answer.
fn probe(port: u16, path: &str, patience: Duration) -> io::Result<u16> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(Ask::from(path).request(true).as_bytes())?;
    let mut received = Vec::new();
    stream.read_to_end(&mut received)?;
    complete(&received, true).map(|whole| whole.status).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

const PORT: &[u8] = b"{port}";

fn contains_port(word: &OsString) -> bool {
    word.as_bytes().windows(PORT.len()).any(|bytes| bytes == PORT)
}

fn with_port(command: &[OsString], port: u16) -> Vec<OsString> {
    let port = port.to_string();
    let replace = |word: &OsString| {
        let mut replaced = Vec::new();
        let mut rest = word.as_bytes();
        while let Some((&first, others)) = rest.split_first() {
            match rest.strip_prefix(PORT) {
                Some(behind) => {
                    replaced.extend_from_slice(port.as_bytes());
                    rest = behind;
                }
                None => {
                    replaced.push(first);
                    rest = others;
                }
            }
        }
        OsString::from_vec(replaced)
    };
    command.iter().map(replace).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_put_wherever_it_is_named() {
        let command = ["a", "-b", "127.0.0.1:{port}", "{port}{por", "{{port}}"].map(OsString::from);
        assert_eq!(with_port(&command, 81), ["a", "-b", "127.0.0.1:81", "81{por", "{81}"].map(OsString::from));
    }

    #[test]
    fn a_command_without_a_port_is_not_run() {
        let check = Check::new(["false"].map(OsString::from));
        assert!(matches!(check.run(&mut io::sink()), Err(Error::NoPort)));
    }

    #[test]
    fn a_server_that_does_not_start_is_shown() {
        let words = ["sh", "-c", "echo no port {port} today; exit 7"].map(OsString::from);
        let error = Check::new(words).run(&mut io::sink()).unwrap_err().to_string();
        assert!(error.starts_with("the server ended with exit status: 7 before it answered"), "{error}");
        assert!(error.ends_with("today"), "{error}");
    }
}
