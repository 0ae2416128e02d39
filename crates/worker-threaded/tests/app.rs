//! The class with an app that panics, and with bodies that take their time.
//!
//! This file is its own server: started with an address in its environment it runs an arbiter there.

use std::env;
use std::error::Error;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::iter;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{self, Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rserve_arbiter::{Arbiter, Exit, Settings};
use rserve_event_loop::{HttpSettings, Site};
use rserve_http::{App, Body, RequestBody};
use rserve_worker_threaded::CLASS;

type Test = (&'static str, fn(&Server) -> Tested);
type Tested = Result<(), Box<dyn Error>>;

const ADDRESS: &str = "THREADED_TEST_ADDRESS";
const THREADS: usize = 2;
const SECOND: Duration = Duration::from_secs(1);

/// More than the buffers of a connection hold, so that the kernel is asked when there is room for more.
const MUCH: usize = 32 * 1024 * 1024;

fn app(request: http::Request<RequestBody>) -> http::Response<Body> {
    let body = match request.uri().path() {
        "/pid" => process::id().to_string().into(),
        "/long" => {
            thread::sleep(2 * SECOND);
            process::id().to_string().into()
        }
        "/drip" => Body::stream(["a", "b", "c"].into_iter().map(|piece| {
            thread::sleep(SECOND);
            Ok(piece.into())
        })),
        "/much" => Body::stream(iter::once(Ok(vec![0; MUCH].into())).chain(iter::once_with(|| {
            thread::sleep(3 * SECOND);
            Ok(Bytes::from_static(b"end"))
        }))),
        "/breaks" => Body::stream(iter::once(Ok("half".into())).chain(iter::once_with(|| panic!("out of flour")))),
        "/sized" => Body::sized_stream(["ab", "cd", "ef"].into_iter().map(|piece| Ok(piece.into())), 6),
        _ => panic!("out of beans"),
    };
    http::Response::new(body)
}

fn main() -> ExitCode {
    if let Ok(address) = env::var(ADDRESS) {
        return serve(&address).map_or_else(|_| ExitCode::FAILURE, ExitCode::from);
    }
    let tests: [Test; 5] = [
        ("a panic is a 500 and harms nobody else", a_panic_harms_nobody_else),
        ("pieces come as they are made, and others are served meanwhile", pieces_come_as_they_are_made),
        ("the client gets what the body is", whole_bodies),
        ("a body that breaks cuts its connection", a_broken_body_cuts),
        ("a body that waits costs nothing", a_body_that_waits_costs_nothing),
    ];
    for (name, test) in tests {
        match Server::start().and_then(|server| test(&server)) {
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
    let settings = Settings { binds: vec![address.parse()?], ..Settings::default() };
    let site = Site { app: App::blocking(app), http: HttpSettings::default(), threads: THREADS };
    Ok(Arbiter::bind(settings)?.run(&mut |cx| {
        println!("{}", process::id());
        (CLASS.build)(&site, cx)
    }))
}

fn a_panic_harms_nobody_else(server: &Server) -> Tested {
    let long = server.ask("/long")?;
    for _ in 0..10 * THREADS {
        let answer = server.get("/panic")?;
        assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
    }
    let answer = read(long)?;
    assert!(answer.ends_with(&server.worker), "{answer}");
    assert!(server.get("/pid")?.ends_with(&server.worker));
    Ok(())
}

fn pieces_come_as_they_are_made(server: &Server) -> Tested {
    let mut stream = BufReader::new(server.ask("/drip")?);
    while !stream.by_ref().lines().next().ok_or("no end of the head")??.is_empty() {}
    let began = Instant::now();
    for piece in [b"1\r\na\r\n", b"1\r\nb\r\n", b"1\r\nc\r\n"] {
        let asked = Instant::now();
        assert!(server.get("/pid")?.ends_with(&server.worker));
        assert!(asked.elapsed() < SECOND / 2, "waited {:?} behind a body", asked.elapsed());
        let mut got = [0; 6];
        stream.read_exact(&mut got)?;
        assert_eq!(&got, piece);
        if piece[3] == b'b' {
            assert!(began.elapsed() < 2 * SECOND, "held back until {:?}", began.elapsed());
        }
    }
    Ok(())
}

fn whole_bodies(server: &Server) -> Tested {
    assert!(server.get("/drip")?.ends_with("\r\n\r\n1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n"));
    let sized = server.get("/sized")?;
    assert!(sized.contains("Content-Length: 6\r\n") && sized.ends_with("\r\n\r\nabcdef"), "{sized}");
    let head = read(server.send("HEAD /sized")?)?;
    assert!(head.contains("Content-Length: 6\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    Ok(())
}

fn a_broken_body_cuts(server: &Server) -> Tested {
    let mut got = Vec::new();
    let cut = server.ask("/breaks")?.read_to_end(&mut got);
    assert!(cut.is_err(), "it ended like a whole one: {}", String::from_utf8_lossy(&got));
    assert!(server.get("/pid")?.ends_with(&server.worker));
    Ok(())
}

/// The worker waited for room to write, and must not be told of it while it has nothing to write.
fn a_body_that_waits_costs_nothing(server: &Server) -> Tested {
    let mut stream = server.ask("/much")?;
    stream.read_exact(&mut vec![0; MUCH])?;
    let mut rest = stream.try_clone()?;
    let reader = thread::spawn(move || {
        let mut bytes = Vec::new();
        rest.read_to_end(&mut bytes).map(|_| bytes)
    });
    thread::sleep(SECOND / 2); // the rest of the first piece is on its way
    let before = server.cpu_time()?;
    thread::sleep(2 * SECOND); // what is measured
    let taken = server.cpu_time()? - before;
    assert!(taken < SECOND / 2, "it has taken {taken:?} of two seconds");
    let rest = reader.join().map_err(|_| "the reader panicked")??;
    assert!(rest.ends_with(b"3\r\nend\r\n0\r\n\r\n"));
    Ok(())
}

struct Server {
    process: Child,
    address: SocketAddr,
    worker: String,
}

impl Server {
    fn start() -> Result<Self, Box<dyn Error>> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut process =
            Command::new(env::current_exe()?).env(ADDRESS, address.to_string()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().ok_or("no stdout")?).read_line(&mut line)?;
        let server = Self { process, address, worker: line.trim().to_owned() };
        // The worker says so a moment before its arbiter listens.
        for _ in 0..500 {
            if TcpStream::connect(address).is_ok() {
                return Ok(server);
            }
            thread::sleep(Duration::from_millis(10));
        }
        Err("it never listened".into())
    }

    fn send(&self, words: &str) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(20 * SECOND))?;
        write!(stream, "{words} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
        Ok(stream)
    }

    fn ask(&self, path: &str) -> io::Result<TcpStream> {
        self.send(&format!("GET {path}"))
    }

    fn get(&self, path: &str) -> io::Result<String> {
        read(self.ask(path)?)
    }

    /// How long the worker has had a core, to a hundredth of a second.
    fn cpu_time(&self) -> Result<Duration, Box<dyn Error>> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.worker))?;
        let (_, fields) = stat.rsplit_once(')').ok_or("no name")?;
        let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>()?;
        Ok(Duration::from_millis(10 * ticks))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its worker goes with it.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn read(mut stream: TcpStream) -> io::Result<String> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
