//! Each signal in each state of a real server: what the arbiter says and does, and how it ends. What comes of it stands in
//! signals.txt and, in a word, in docs/signals.md; after a wanted change `UPDATE_EXPECT=1` writes both anew.
//!
//! This file is its own server: started with an address in its environment it runs an arbiter there.

#![expect(clippy::disallowed_methods, reason = "tests have clocks of their own")]

use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rserve_arbiter::{
    Accepted, Arbiter, Built, Context, Drain, DrainSettings, Exit, Outcome, Program, Settings, Worker,
};

const ADDRESS: &str = "SIGNALS_ADDRESS";
/// While this file exists no worker gets ready.
const HOLD: &str = "SIGNALS_HOLD";
/// What a worker says in its boot: no part of a transcript, as it may come at any time.
const BOOTS: &str = "a worker boots";
const SOON: Duration = Duration::from_secs(20);

const SIGNALS: [Signal; 10] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGHUP,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
    Signal::SIGCHLD,
    Signal::SIGWINCH,
];
const STATES: [&str; 4] = ["booting", "serving", "reloading", "draining"];

fn main() -> ExitCode {
    // The successor of an upgrade, which is to tell that it was started, and no more.
    if env::var_os("RSERVE_PREDECESSOR").is_some() {
        return ExitCode::SUCCESS;
    }
    if let Ok(address) = env::var(ADDRESS) {
        return serve(&address).into();
    }
    let rows: Vec<Vec<Transcript>> = thread::scope(|scope| {
        let rows = SIGNALS.map(|signal| scope.spawn(move || STATES.map(|state| run(state, signal)).into()));
        rows.into_iter().map(|row| row.join().expect("it says itself what is wrong")).collect()
    });
    let all: String = STATES
        .iter()
        .enumerate()
        .flat_map(|(column, _)| rows.iter().map(move |row| row[column].text.clone()))
        .collect();
    let cells = rows.iter().map(|row| row.iter().map(|transcript| transcript.word).collect());
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let right = agrees(&root.join("tests/signals.txt"), |_| all.clone())
        & agrees(&root.join("../../docs/signals.md"), |text| with_table(text, &table(cells)));
    println!("each signal in each state ... {}", if right { "ok" } else { "FAILED" });
    if right { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What became of a signal.
struct Transcript {
    text: String,
    word: &'static str,
}

fn run(state: &str, signal: Signal) -> Transcript {
    let mut server = Server::start();
    let client = server.reach(state);
    // Whoever is started from now on stays as it is, so that nothing else happens.
    fs::write(&server.hold, "").expect("our own folder");
    server.lines.clear();
    server.send(signal);
    let says = match signal {
        Signal::SIGCHLD | Signal::SIGWINCH => "",
        Signal::SIGUSR2 if ["serving", "reloading"].contains(&state) => "serves on",
        _ => " ",
    };
    server.wait_for(says);
    // A mark: what it says before has come of the signal.
    server.send(Signal::SIGUSR1);
    let marks = if signal == Signal::SIGUSR1 { 2 } else { 1 };
    server.wait_until(|lines| lines.iter().filter(|line| line.contains("SIGUSR1")).count() >= marks);
    let at_the_mark = server.lines.iter().rposition(|line| line.contains("SIGUSR1"));
    let mut said: Vec<String> = server.lines[..at_the_mark.unwrap_or(server.lines.len())].to_vec();
    said.retain(|line| !line.contains(BOOTS));
    let ends = ["quick stop", "SIGTERM: "].iter().any(|begin| said.iter().any(|line| line.contains(begin)));
    let word = word(said.first());
    fs::remove_file(&server.hold).expect("our own folder");
    drop(client);
    if !ends && state != "draining" {
        said.push("serves on".to_owned());
        server.send(Signal::SIGINT);
    }
    let code = server.child.wait().expect("it can be waited for").code();
    if state == "draining" && !ends {
        said.push("drains on".to_owned());
    }
    if ends {
        // What else it says on its way out may come before the mark, or not any more.
        said.truncate(1);
        said.push(format!("exits with {code:?}"));
    }
    assert_eq!(code, Some(0), "{state}, {signal}");
    let lines: String = said.iter().map(|line| format!("    {line}\n")).collect();
    Transcript { text: format!("{state}, {signal}:\n{lines}"), word }
}

fn word(line: Option<&String>) -> &'static str {
    const WORDS: [(&str, &str); 8] = [
        ("SIGTERM: draining", "drains"),
        ("SIGTERM: stopping", "stops"),
        ("quick stop", "quick stop"),
        ("SIGHUP: settings read", "reloads"),
        ("SIGUSR1: log files", "new log files"),
        ("SIGUSR2: successor", "upgrades"),
        ("number of workers set to 3", "one more"),
        ("number of workers set to 1", "one less"),
    ];
    let Some(line) = line else { return "-" };
    WORDS.iter().find(|(begin, _)| line.contains(begin)).map_or("-", |(_, word)| word)
}

fn table(rows: impl Iterator<Item = Vec<&'static str>>) -> String {
    let mut table = format!("| signal | {} |\n|{}\n", STATES.join(" | "), " --- |".repeat(STATES.len() + 1));
    for (signal, cells) in SIGNALS.iter().zip(rows) {
        table += &format!("| {} | {} |\n", signal.as_str().trim_start_matches("SIG"), cells.join(" | "));
    }
    table
}

/// The page with this table instead of the one under its heading.
fn with_table(page: &str, table: &str) -> String {
    let (before, rest) = page.split_once("## When\n").expect("docs/signals.md has that heading");
    let (text, rest) = rest.split_once("| signal |").expect("and a table under it");
    let after = rest.split_once("\n\n").map_or("", |(_, after)| after);
    format!("{before}## When\n{text}{table}\n{after}")
}

fn agrees(path: &Path, wanted: impl FnOnce(&str) -> String) -> bool {
    let there = fs::read_to_string(path).unwrap_or_default();
    let wanted = wanted(&there);
    if there == wanted {
        return true;
    }
    if env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(path, wanted).expect("a file of ours");
        return true;
    }
    for (there, wanted) in there.lines().zip(wanted.lines()).filter(|(there, wanted)| there != wanted) {
        println!("{}: is\n    {there}\nand should be\n    {wanted}", path.display());
    }
    println!("{} differs; after a wanted change UPDATE_EXPECT=1 writes it anew", path.display());
    false
}

struct Server {
    child: Child,
    address: String,
    hold: PathBuf,
    said: Receiver<String>,
    lines: Vec<String>,
    _folder: tempfile::TempDir,
}

impl Server {
    /// Starts it with workers that do not get ready.
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let hold = folder.path().join("hold");
        fs::write(&hold, "").expect("our own folder");
        let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port");
        let mut command = Command::new(env::current_exe().expect("this program"));
        command.env(ADDRESS, free.to_string()).env(HOLD, &hold).stderr(Stdio::piped());
        let mut child = command.spawn().expect("this program runs");
        let (send, said) = channel();
        let log = BufReader::new(child.stderr.take().expect("piped"));
        thread::spawn(move || log.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        Self { child, address: free.to_string(), hold, said, lines: Vec::new(), _folder: folder }
    }

    /// Brings it into the state. Unless it boots, somebody is connected, whom it waits for in a drain.
    fn reach(&mut self, state: &str) -> Option<TcpStream> {
        self.wait_until(|lines| lines.iter().filter(|line| line.contains(BOOTS)).count() == 2);
        if state == "booting" {
            return None;
        }
        fs::remove_file(&self.hold).expect("our own folder");
        self.wait_for("listening");
        let client = TcpStream::connect(&self.address).expect("it listens");
        self.wait_for("in hand");
        match state {
            "reloading" => {
                fs::write(&self.hold, "").expect("our own folder");
                self.send(Signal::SIGHUP);
                self.wait_for("settings read");
            }
            "draining" => {
                self.send(Signal::SIGTERM);
                self.wait_for("draining");
            }
            _ => {}
        }
        Some(client)
    }

    fn send(&self, signal: Signal) {
        // It may have ended by now.
        let _ = kill(Pid::from_raw(self.child.id() as i32), signal);
    }

    fn wait_for(&mut self, what: &str) {
        self.wait_until(|lines| {
            what.is_empty() || lines.iter().any(|line| line.contains(what) && !line.contains(BOOTS))
        });
    }

    /// Reads what it says until that holds, or it has ended.
    fn wait_until(&mut self, done: impl Fn(&[String]) -> bool) {
        let deadline = Instant::now() + SOON;
        while !done(&self.lines) {
            match self.said.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.lines.push(without_pids(&line)),
                Err(_) if Instant::now() < deadline => return,
                Err(_) => panic!("waited in vain: {:?}", self.lines),
            }
        }
    }
}

/// Of numbers with three digits or more, which are processes and ports, another text each time would come.
fn without_pids(line: &str) -> String {
    let mut text = String::new();
    for part in line.trim().split_inclusive(|c: char| !c.is_ascii_digit()) {
        let digits = part.trim_end_matches(|c: char| !c.is_ascii_digit());
        let is_pid = digits.len() > 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        text += &if is_pid { part.replace(digits, "N") } else { part.to_owned() };
    }
    text
}

fn serve(address: &str) -> Exit {
    tracing_subscriber::fmt().without_time().with_target(false).with_ansi(false).with_writer(io::stderr).init();
    let drain = DrainSettings { quiet: Duration::from_millis(100), open: Duration::from_secs(10) };
    let binds = vec![address.parse().expect("an address")];
    let settings = Settings { binds, workers: 2, drain: Some(drain), worker_class: "test", ..Settings::default() };
    Arbiter::bind(settings.clone()).expect("a free port").run_program(&mut Reloadable(settings))
}

struct Reloadable(Settings);

impl Program for Reloadable {
    fn build(&mut self, _: &mut Context) -> Built {
        let hold = PathBuf::from(env::var_os(HOLD).expect("set by the test"));
        tracing::info!("{BOOTS}");
        while hold.exists() {
            thread::sleep(Duration::from_millis(2));
        }
        Ok(Box::new(Patient(None)))
    }

    fn reload(&mut self) -> Result<Settings, String> {
        Ok(self.0.clone())
    }
}

/// Holds a connection until its client leaves.
struct Patient(Option<Accepted>);

impl Worker for Patient {
    fn serve_step(&mut self, cx: &mut Context) -> io::Result<()> {
        if let Some(mut held) = self.0.take() {
            thread::sleep(Duration::from_millis(2));
            match held.stream.read(&mut [0]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.0 = Some(held),
                _ => held.ticket.finish(Outcome::ClientGone),
            }
            return Ok(());
        }
        if let Some(listener) = cx.wait_for_connection()? {
            self.0 = cx.accept(listener)?;
            if self.0.is_some() {
                tracing::info!("in hand");
            }
        }
        Ok(())
    }

    fn drain_step(&mut self, cx: &mut Context) -> io::Result<Drain> {
        self.serve_step(cx)?;
        Ok(if self.0.is_some() { Drain::Pending { in_flight: 1 } } else { Drain::Done })
    }
}
