//! The arbiter with workers that echo bytes. One knows nothing of drains: its `drain_step` says "done" at once, and still it
//! cannot leave its queue behind, since the harness serves on in its stead. The other is the one in the trait's docs.
//!
//! This file is its own server: started with an address in its environment it runs an arbiter there.

#![expect(clippy::disallowed_methods, reason = "workers and tests have clocks of their own")]

use std::error::Error;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rserve_arbiter::{Arbiter, BootError, Context, Drain, DrainSettings, Exit, Outcome, Settings, Worker};

// The program that the trait's docs show.
#[expect(dead_code, reason = "its main is not ours")]
#[path = "../examples/echo.rs"]
mod example;

type Test = (&'static str, fn() -> Tested);
type Tested = Result<(), Box<dyn Error>>;

const ADDRESS: &str = "ECHO_WORKER_ADDRESS";
const FAILS: &str = "ECHO_WORKER_FAILS";
const EXAMPLE: &str = "ECHO_WORKER_EXAMPLE";
const STUCK: &str = "ECHO_WORKER_STUCK";

/// Echoes one connection a step, blocking, a little slowly, and knows nothing of drains.
struct Naive;

/// Its steps return, but it says that nothing gets on. It stays like this, or gets on again at each other step.
struct Stuck {
    for_good: bool,
    since: Option<Instant>,
}

impl Worker for Stuck {
    fn serve_step(&mut self, cx: &mut Context) -> io::Result<()> {
        cx.wait_for_connection()?;
        let now = Instant::now();
        self.since = if self.for_good { self.since.or(Some(now)) } else { self.since.xor(Some(now)) };
        cx.set_stuck_since(self.since);
        Ok(())
    }

    fn drain_step(&mut self, _: &mut Context) -> io::Result<Drain> {
        Ok(Drain::Done)
    }
}

impl Worker for Naive {
    fn serve_step(&mut self, cx: &mut Context) -> io::Result<()> {
        let Some(listener) = cx.wait_for_connection()? else { return Ok(()) };
        let Some(mut accepted) = cx.accept(listener)? else { return Ok(()) };
        accepted.stream.set_nonblocking(false)?;
        let mut bytes = [0; 64];
        let read = accepted.stream.read(&mut bytes)?;
        accepted.ticket.request(false);
        std::thread::sleep(Duration::from_millis(20)); // the load: this is what makes a queue
        accepted.stream.write_all(&bytes[..read])?;
        accepted.ticket.finish(Outcome::Answered);
        Ok(())
    }

    fn drain_step(&mut self, _: &mut Context) -> io::Result<Drain> {
        Ok(Drain::Done)
    }
}

fn main() -> ExitCode {
    if let Ok(address) = std::env::var(ADDRESS) {
        return serve(&address).map_or_else(|_| ExitCode::FAILURE, ExitCode::from);
    }
    let tests: [Test; 6] = [
        ("a queue of forty is served after the signal", || a_queue_is_served_after_the_signal(false)),
        ("a queue of forty is served after the signal, by the example", || a_queue_is_served_after_the_signal(true)),
        ("the example waits for silent clients without missing a beat", the_example_waits_for_silent_clients),
        ("the workers die with a killed arbiter", the_workers_die_with_their_arbiter),
        ("a worker that cannot boot stops the start", a_failed_boot_stops_the_start),
        ("a worker that says that it is stuck is replaced", a_stuck_worker_is_replaced),
    ];
    for (name, test) in tests {
        match test() {
            Ok(()) => println!("test {name} ... ok"),
            Err(error) => {
                println!("test {name} ... FAILED: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    println!("{} passed, 0 failed", tests.len());
    ExitCode::SUCCESS
}

fn serve(address: &str) -> Result<Exit, Box<dyn Error>> {
    let settings = Settings {
        binds: vec![address.parse()?],
        timeout: Some(Duration::from_secs(1)),
        drain: Some(DrainSettings { quiet: Duration::from_millis(100), open: Duration::from_secs(10) }),
        ..Settings::default()
    };
    Ok(Arbiter::bind(settings)?.run(&mut |_| {
        match std::env::var(FAILS).as_deref() {
            Ok("worker") => return Err(BootError::worker("told to fail")),
            Ok("app") => return Err(BootError::app("told to fail")),
            Ok("crash") => std::process::abort(),
            _ => {}
        }
        println!("ready {}", std::process::id());
        Ok(match std::env::var(STUCK).as_deref() {
            Ok(how) => Box::new(Stuck { for_good: how == "for good", since: None }),
            Err(_) if std::env::var_os(EXAMPLE).is_some() => Box::new(example::Echo::default()),
            Err(_) => Box::new(Naive),
        })
    }))
}

fn a_queue_is_served_after_the_signal(example: bool) -> Tested {
    let (mut server, address) = start(example)?;
    let mut clients = (0..40).map(|_| connect(address)).collect::<io::Result<Vec<_>>>()?;
    for client in &mut clients {
        client.write_all(b"hello")?;
    }
    kill(Pid::from_raw(server.id() as i32), Signal::SIGTERM)?;
    for mut client in clients {
        let mut bytes = [0; 5];
        client.read_exact(&mut bytes)?;
        assert_eq!(&bytes, b"hello");
    }
    assert!(server.wait()?.success());
    Ok(())
}

/// Twice the timeout and more, of which the second part is in a drain.
fn the_example_waits_for_silent_clients() -> Tested {
    let (mut server, address) = start(true)?;
    let mut silent = connect(address)?;
    // The time itself is what is tested: each of these is longer than a worker may go without a beat.
    std::thread::sleep(Duration::from_millis(1500));
    kill(Pid::from_raw(server.id() as i32), Signal::SIGTERM)?;
    std::thread::sleep(Duration::from_millis(1500));
    silent.write_all(b"hello")?;
    let mut bytes = [0; 5];
    silent.read_exact(&mut bytes)?;
    assert_eq!(&bytes, b"hello");
    assert!(server.wait()?.success());
    Ok(())
}

fn the_workers_die_with_their_arbiter() -> Tested {
    let (mut server, address) = start(false)?;
    server.kill()?;
    server.wait()?;
    // Its workers hold the listener: refused means that they are gone.
    let gone = (0..200).any(|_| {
        std::thread::sleep(Duration::from_millis(10)); // a look each, two seconds at most
        TcpStream::connect(address).is_err()
    });
    assert!(gone, "the worker outlived its arbiter");
    Ok(())
}

fn a_failed_boot_stops_the_start() -> Tested {
    for (how, exit) in [("worker", Exit::WorkerBoot), ("app", Exit::AppLoad), ("crash", Exit::WorkerBoot)] {
        let mut server = Command::new(std::env::current_exe()?);
        let status = server.env(ADDRESS, "127.0.0.1:0").env(FAILS, how).status()?;
        assert_eq!(status.code(), Some(i32::from(exit.code())), "{how}");
    }
    Ok(())
}

/// Each worker says when it is ready, so a second line is a second worker.
fn a_stuck_worker_is_replaced() -> Tested {
    for (how, workers) in [("for good", 2), ("now and then", 1)] {
        let mut server = Command::new(std::env::current_exe()?)
            .env(ADDRESS, "127.0.0.1:0")
            .env(STUCK, how)
            .stdout(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(server.stdout.take().ok_or("no stdout")?).lines();
        let (first, began) = (lines.next().ok_or("no worker")??, Instant::now());
        if workers == 2 {
            let second = lines.next().ok_or("no second worker")??;
            assert_ne!(first, second);
            assert!(began.elapsed() > Duration::from_millis(900), "killed after {:?}", began.elapsed());
        } else {
            // The time itself is what is tested: it is several times as long as the other one had to live.
            std::thread::sleep(Duration::from_millis(3500));
        }
        kill(Pid::from_raw(server.id() as i32), Signal::SIGTERM)?;
        assert!(server.wait()?.success());
        assert_eq!(lines.count(), 0, "{how}");
    }
    Ok(())
}

fn start(example: bool) -> Result<(Child, SocketAddr), Box<dyn Error>> {
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.env(ADDRESS, address.to_string()).envs(example.then_some((EXAMPLE, "1"))).stdout(Stdio::piped());
    let mut server = command.spawn()?;
    let mut line = String::new();
    BufReader::new(server.stdout.take().ok_or("no stdout")?).read_line(&mut line)?;
    // "Ready" is said by the worker a moment before its arbiter listens.
    for _ in 0..200 {
        match connect(address) {
            Ok(_) => return Ok((server, address)),
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
    Err("it never listened".into())
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    Ok(stream)
}
