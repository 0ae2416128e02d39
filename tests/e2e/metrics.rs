//! The metrics: that they are what clients have seen, and that nobody who asks for them disturbs the server.

use std::{
    collections::HashMap,
    io::Write,
    net::{Ipv4Addr, TcpListener},
    process::{Command, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::Signal::{SIGHUP, SIGKILL, SIGTERM, SIGUSR2},
    unistd::Pid,
};

use crate::support::{
    Builder, Server, Target, each_class, free_port,
    http::{Conn, Response, get, request},
    load::{Load, Shape},
    send, skip, turn, wait_until,
};

each_class!(figures_are_what_clients_have_seen, connections_are_told_by_where_they_stand, a_drain_can_be_watched,);

const SOON: Duration = Duration::from_secs(15);

struct Metered {
    server: Server,
    at: Target,
}

/// The values by their names, labels included.
type Page = HashMap<String, f64>;

impl Metered {
    fn start(builder: Builder) -> Self {
        let port = free_port();
        let server = builder.args(["--metrics-bind", &port.to_string()]).start();
        Self { server, at: local(port) }
    }

    fn response(&self) -> Response {
        get(&self.at, "/metrics").unwrap()
    }

    fn page(&self) -> Page {
        parse(&self.response().text())
    }

    #[track_caller]
    fn wait_for(&self, wanted: impl Fn(&Page) -> bool) -> Page {
        assert!(wait_until(SOON, || wanted(&self.page())), "{}", self.response().text());
        self.page()
    }
}

fn local(port: u16) -> Target {
    Target::Tcp((Ipv4Addr::LOCALHOST, port).into())
}

fn parse(text: &str) -> Page {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let value = |line: &str| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.parse().unwrap())
    };
    lines.map(value).collect()
}

fn sum_of(page: &Page, name: &str) -> f64 {
    page.iter().filter(|(found, _)| found.split('{').next() == Some(name)).map(|(_, value)| value).sum()
}

fn figures_are_what_clients_have_seen(class: &str) {
    let _turn = turn();
    let metered = Metered::start(Server::builder(class).workers(2));
    let load = Load::start(&metered.server.target(), "/hello", Shape::KeepAlive { clients: 6 });
    load.wait_for(300);
    // What workers that are gone have counted is not forgotten.
    let old = metered.server.wait_for_workers(SOON, |workers| workers.len() == 2);
    metered.server.signal(SIGHUP);
    metered.server.wait_for_workers(SOON, |now| now.len() == 2 && now.iter().all(|pid| !old.contains(pid)));
    load.wait_for(300);
    let served = load.stop().served() as f64;
    let others =
        ["/nowhere", "/bytes/1000000"].map(|path| get(&metered.server.target(), path).unwrap().body.len() as f64);
    let page = metered.wait_for(|page| sum_of(page, "rserve_http_requests_total") >= served + 2.0);
    assert_eq!(page["rserve_http_requests_total{code=\"200\"}"], served + 1.0);
    assert_eq!(page["rserve_http_requests_total{code=\"404\"}"], 1.0);
    for name in ["duration", "wait"] {
        let name = format!("rserve_http_request_{name}_seconds");
        assert_eq!(page[&format!("{name}_count")], served + 2.0);
        assert_eq!(page[&format!("{name}_bucket{{le=\"+Inf\"}}")], served + 2.0);
    }
    let hello = "Hello, World!".len() as f64;
    assert_eq!(page["rserve_http_response_body_bytes_total"], served.mul_add(hello, others.iter().sum()));
    assert_eq!(page["rserve_worker_restarts_total{cause=\"reload\"}"], 2.0);
    assert_eq!((page["rserve_reloads_total"], page["rserve_workers_wanted"]), (1.0, 2.0));
}

fn connections_are_told_by_where_they_stand(class: &str) {
    let metered = Metered::start(Server::builder(class).args(["--keep-alive", "60"]));
    let open = || Conn::open(&metered.server.target()).unwrap();
    let silent = open();
    let mut idle = open();
    idle.send(request("/hello")).unwrap();
    idle.response().unwrap();
    let mut reading = open();
    reading.send("GET / HTTP/1.1\r\n").unwrap();
    let state = |page: &Page, name: &str| page[&format!("rserve_connections{{state=\"{name}\"}}")];
    metered.wait_for(|page| ["silent", "idle", "reading"].map(|name| state(page, name)) == [1.0; 3]);
    drop((silent, idle, reading));
    let page = metered.wait_for(|page| sum_of(page, "rserve_connections") == 0.0);
    let ended = sum_of(&page, "rserve_connections_ended_total");
    assert_eq!((page["rserve_connections_accepted_total"], ended), (3.0, 3.0));
}

fn a_drain_can_be_watched(class: &str) {
    let mut metered = Metered::start(Server::builder(class).drain(0.3).debug_log());
    assert_eq!(metered.page()["rserve_stopping"], 0.0);
    let mut slow = metered.server.in_hand("/sleep/2500");
    metered.server.signal(SIGTERM);
    let page = metered.wait_for(|page| {
        page["rserve_stopping"] == 1.0
            && page["rserve_drain_seconds"] > 0.5
            && page["rserve_drain_gates_shut_total"] >= 1.0
    });
    assert_eq!(sum_of(&page, "rserve_listener_backlog"), 0.0);
    assert_eq!(slow.response().unwrap().status, 200);
    assert_eq!(metered.server.wait_exit(SOON).code(), Some(0));
}

#[test]
fn backlog_is_told_with_its_limit() {
    let metered = Metered::start(Server::builder("sync").args(["--backlog", "7"]).debug_log());
    let _slow = metered.server.in_hand("/sleep/20000");
    let waiting: Vec<_> = (0..3).map(|_| Conn::open(&metered.server.target()).unwrap()).collect();
    let page = metered.wait_for(|page| sum_of(page, "rserve_listener_backlog") == waiting.len() as f64);
    assert_eq!(sum_of(&page, "rserve_listener_backlog_limit"), 7.0);
}

#[test]
fn restarts_are_told_by_their_cause() {
    let builder = Server::builder("sync").args(["--max-requests", "3", "--timeout", "1"]);
    let metered = Metered::start(builder);
    let restarts = |page: &Page, cause: &str| page[&format!("rserve_worker_restarts_total{{cause=\"{cause}\"}}")];
    let worker = || metered.server.wait_for_workers(SOON, |workers| workers.len() == 1)[0];
    let replaced = |cause: &str, end: &dyn Fn(Pid)| {
        let before = worker();
        end(before);
        metered.server.wait_for_workers(SOON, |workers| workers.len() == 1 && workers[0] != before);
        metered.wait_for(|page| restarts(page, cause) == 1.0 && page["rserve_workers{state=\"ready\"}"] == 1.0)
    };
    replaced("signal", &|worker| send(worker, SIGKILL));
    replaced("asked", &|worker| send(worker, SIGTERM));
    replaced("max_requests", &|_| (0..3).for_each(|_| drop(get(&metered.server.target(), "/hello").unwrap())));
    let page = replaced("timeout", &|_| drop(get(&metered.server.target(), "/sleep/20000")));
    assert_eq!(sum_of(&page, "rserve_worker_restarts_total"), 4.0);
}

#[test]
fn prometheus_accepts_the_page() {
    let metered = Metered::start(Server::builder("sync").socket(crate::support::Socket::Unix));
    get(&metered.server.target(), "/hello").unwrap();
    let response = metered.response();
    assert_eq!(response.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let promtool =
        Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let Ok(mut promtool) = promtool else { return skip("there is no promtool") };
    promtool.stdin.take().unwrap().write_all(&response.body).unwrap();
    let output = promtool.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

/// Those who ask and those who only come are served by the arbiter, which has other things to do.
#[test]
fn visitors_who_say_nothing_disturb_nobody() {
    let mut metered = Metered::start(Server::builder("sync"));
    let mut silent: Vec<_> = (0..40).map(|_| Conn::open(&metered.at).unwrap()).collect();
    for conn in &mut silent {
        // Some are gone already, for others.
        let _ = conn.send("GET /metrics HTTP/1.1\r\nHost");
    }
    for _ in 0..3 {
        assert_eq!(metered.response().status, 200);
        assert_eq!(get(&metered.server.target(), "/hello").unwrap().status, 200);
    }
    let mut large = Conn::open(&metered.at).unwrap();
    let _ = large.send("x".repeat(100_000));
    assert_eq!(metered.response().status, 200);
    let worker = metered.server.workers()[0];
    send(worker, SIGKILL);
    metered.server.wait_for_workers(SOON, |workers| workers.len() == 1 && workers[0] != worker);
    metered.server.signal(SIGTERM);
    assert_eq!(metered.server.wait_exit(SOON).code(), Some(0));
}

#[test]
fn there_is_only_the_page() {
    let metered = Metered::start(Server::builder("sync"));
    assert_eq!(get(&metered.at, "/").unwrap().status, 404);
    let ask = |bytes: &str| {
        let mut conn = Conn::open(&metered.at).unwrap();
        conn.send(bytes).unwrap();
        conn.response().unwrap().status
    };
    assert_eq!(ask("POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"), 405);
    assert_eq!(ask("nonsense\r\n\r\n"), 400);
}

#[test]
fn each_source_can_ask_for_it_and_none_has_none() {
    let sources: [fn(Builder, u16) -> Builder; 3] = [
        |builder, port| builder.args([format!("--metrics-bind=127.0.0.1:{port}")]),
        |builder, port| builder.settings_file(&format!("metrics_bind = {port}")),
        |builder, port| builder.env("RSERVE_CMD_ARGS", &format!("--metrics-bind localhost:{port}")),
    ];
    for source in sources {
        let port = free_port();
        let _server = source(Server::builder("sync"), port).start();
        assert_eq!(get(&local(port), "/metrics").unwrap().status, 200);
    }
    let server = Server::builder("sync").start();
    assert!(server.log().wait_for(Duration::from_millis(100), |line| line.text.contains("metrics")).is_none());
}

#[test]
fn address_that_is_in_use_is_an_error() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut server = Server::builder("sync").args(["--metrics-bind", &port.to_string()]).spawn();
    assert_eq!(server.wait_exit(SOON).code(), Some(1));
    server.wait_for_line(SOON, "the way out", |line| line.text.contains("choose another with --metrics-bind"));
}

/// The successor has the address once its predecessor is gone.
#[test]
fn upgrade_takes_the_address_over() {
    let mut metered = Metered::start(Server::builder("sync"));
    metered.server.signal(SIGUSR2);
    metered.server.wait_for_line(SOON, "the successor", |line| line.text.contains("serves; SIGTERM ends this server"));
    assert_eq!(metered.response().status, 200);
    metered.server.signal(SIGTERM);
    metered.server.wait_exit(SOON);
    let asked = || get(&metered.at, "/metrics").is_ok_and(|response| response.status == 200);
    assert!(wait_until(SOON, asked));
}
