//! What a statsd server hears: gunicorn's metrics, from the arbiter and from every worker class.

use std::{
    collections::HashMap,
    net::UdpSocket,
    os::unix::net::UnixDatagram,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal::{SIGKILL, SIGTTIN};

use crate::support::{Builder, Server, each_class, http::get, send};

each_class!(requests_are_told);

const SOON: Duration = Duration::from_secs(15);

/// A statsd server that keeps what it hears.
struct Statsd {
    socket: Socket,
    /// How often each line came, without its value if that is a time.
    heard: HashMap<String, usize>,
}

enum Socket {
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

impl Statsd {
    fn udp() -> (Self, String) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let address = socket.local_addr().unwrap().to_string();
        (Self { socket: Socket::Udp(socket), heard: HashMap::new() }, address)
    }

    /// Listens until `wanted` lines have come that often.
    #[track_caller]
    fn wait_for(&mut self, wanted: &[(&str, usize)]) {
        let (deadline, mut bytes) = (Instant::now() + SOON, [0; 65536]);
        let is_short = |heard: &HashMap<String, usize>| {
            wanted.iter().any(|(line, times)| heard.get(*line).copied().unwrap_or_default() < *times)
        };
        while is_short(&self.heard) {
            assert!(Instant::now() < deadline, "{:?}", self.heard);
            let received = match &self.socket {
                Socket::Udp(socket) => socket.recv(&mut bytes),
                Socket::Unix(socket) => socket.recv(&mut bytes),
            };
            let Ok(length) = received else { continue };
            for line in str::from_utf8(&bytes[..length]).unwrap().lines() {
                *self.heard.entry(without_time(line)).or_default() += 1;
            }
        }
        for (line, times) in wanted {
            assert_eq!(self.heard[*line], *times, "{line}: {:?}", self.heard);
        }
    }
}

fn without_time(line: &str) -> String {
    let Some((before, behind)) = line.split_once("|ms") else { return line.to_owned() };
    let (name, time) = before.split_once(':').unwrap();
    assert!(time.parse::<f64>().unwrap() < 10_000.0, "{line}");
    format!("{name}:TIME|ms{behind}")
}

fn requests_are_told(class: &str) {
    let (mut statsd, address) = Statsd::udp();
    let server = Server::builder(class).args(["--statsd-host", &address]).start();
    for path in ["/hello", "/hello", "/nowhere", "/bytes/100000"] {
        get(&server.target(), path).unwrap();
    }
    statsd.wait_for(&[
        ("gunicorn.workers:1|g", 1),
        ("gunicorn.requests:1|c|@1.0", 4),
        ("gunicorn.request.status.200:1|c|@1.0", 3),
        ("gunicorn.request.status.404:1|c|@1.0", 1),
        ("gunicorn.request.duration:TIME|ms", 4),
    ]);
}

#[test]
fn workers_and_errors_are_told_with_prefix_and_tags() {
    let (mut statsd, address) = Statsd::udp();
    let args = ["--statsd-host", &address, "--statsd-prefix", "shop.", "--dogstatsd-tags", "env:test,zone:a"];
    let server = Server::builder("sync").args(args).start();
    server.signal(SIGTTIN);
    let workers = server.wait_for_workers(SOON, |workers| workers.len() == 2);
    send(workers[0], SIGKILL);
    statsd.wait_for(&[
        ("shop.gunicorn.workers:2|g|#env:test,zone:a", 2),
        ("shop.gunicorn.log.error:1|c|@1.0|#env:test,zone:a", 1),
    ]);
}

#[test]
fn a_unix_socket_will_do_and_so_will_each_source() {
    let sources: [fn(Builder, &str) -> Builder; 2] = [
        |builder, address| {
            builder.settings_file(&format!(
                "statsd_host = '{address}'\nstatsd_prefix = 'a'\ndogstatsd_tags = ['b:c', 'd']"
            ))
        },
        |builder, address| {
            let words = format!("--statsd-host {address} --statsd-prefix a --dogstatsd-tags b:c,d");
            builder.env("RSERVE_CMD_ARGS", &words)
        },
    ];
    for source in sources {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("statsd");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let mut statsd = Statsd { socket: Socket::Unix(socket), heard: HashMap::new() };
        let server = source(Server::builder("sync"), &format!("unix://{}", path.display())).start();
        get(&server.target(), "/hello").unwrap();
        statsd.wait_for(&[("a.gunicorn.requests:1|c|@1.0|#b:c,d", 1)]);
    }
}

#[test]
fn nobody_who_listens_is_said_once_and_changes_nothing() {
    let server = Server::builder("sync").args(["--statsd-host", "unix:///nowhere/at/all"]).start();
    for _ in 0..5 {
        assert_eq!(get(&server.target(), "/hello").unwrap().status, 200);
    }
    server.wait_for_line(SOON, "the server", |line| line.text.contains("metrics cannot be sent to --statsd-host"));
    assert!(server.log().text().matches("cannot be sent").count() <= 2, "{}", server.log().text());
}
