//! The most likely mistakes, and what a person is told of each: all of it stands in mistakes.txt, to be read as a text. After a
//! wanted change `UPDATE_EXPECT=1` writes it anew.

use std::{
    fs,
    net::TcpListener,
    os::unix::{fs::PermissionsExt, net::UnixListener, process::CommandExt},
    process::Command,
    time::Duration,
};

use expect_test::expect_file;
use nix::{
    sys::signal::Signal::{SIGCONT, SIGHUP, SIGKILL, SIGSTOP, SIGTERM, SIGUSR2},
    unistd::{User, geteuid},
};

use crate::support::{
    Builder, Server,
    http::{Conn, request},
    send, skip,
};

const SOON: Duration = Duration::from_secs(10);

/// A folder to make mistakes in, and all that was said.
struct Mistakes {
    dir: tempfile::TempDir,
    said: String,
}

impl Mistakes {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self { dir, said: String::new() }
    }

    fn file(&self, name: &str, text: &str) {
        fs::write(self.dir.path().join(name), text).unwrap();
    }

    /// What the program says to these words, and how it ends.
    fn make(&mut self, what: &str, words: &str) {
        self.make_as(what, words, &[], None);
    }

    fn make_as(&mut self, what: &str, words: &str, env: &[(&str, &str)], user: Option<&User>) {
        let program = self.dir.path().join("rserve");
        if !program.exists() {
            fs::copy(env!("CARGO_BIN_EXE_rserve"), &program).unwrap();
        }
        let mut command = Command::new(program);
        for name in ["WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS", "RSERVE_CMD_ARGS"] {
            command.env_remove(name);
        }
        command.args(words.split_whitespace()).envs(env.iter().copied()).current_dir(self.dir.path());
        if let Some(user) = user {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(output.stdout.is_empty() && text.lines().count() <= 3, "{what}: {text}");
        let code = output.status.code().expect("it exits by itself");
        let env: String = env.iter().map(|(name, value)| format!("{name}={value:?} ")).collect();
        let folder = self.dir.path().to_str().unwrap();
        let text = text.lines().map(|line| format!("    {}\n", without_time(line))).collect::<String>();
        self.said +=
            &format!("# {what}\n$ {env}rserve {words}\n{text}    exit code {code}\n\n").replace(folder, "/folder");
    }
}

/// The line of a log for people without its time.
fn without_time(line: &str) -> &str {
    let time = line.split(' ').next().filter(|word| word.ends_with('Z') && word.starts_with("20"));
    time.map_or(line, |time| line[time.len()..].trim_start())
}

#[test]
fn each_is_told_as_a_careful_person_would() {
    if !geteuid().is_root() {
        return skip("some of them only root can make");
    }
    let nobody = User::from_name("nobody").unwrap().unwrap();
    let mut all = Mistakes::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();

    all.make("the port is taken", &format!("--bind 127.0.0.1:{port}"));
    all.make("a port that cannot be", "--bind 127.0.0.1:80000");
    all.make("a port alone", "--bind 8000");
    all.make("IPv6 without brackets", "--bind ::1:8000");
    all.make("an address of another machine", "--bind 192.0.2.1:8000");
    all.make("a host that is not known", "--bind no-such-host.invalid:8000");
    all.make("one address twice", "--bind :8000 --bind 0.0.0.0:8000");
    if fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").is_ok_and(|first| first.trim() != "0") {
        all.make_as("port 80 without the right to it", "--bind :80", &[], Some(&nobody));
    }
    all.make("a socket in a folder that is not there", "--bind unix:/nonexistent/app.sock");
    all.make("a socket's path that is too long", &format!("--bind unix:/{}", "long".repeat(30)));
    all.file("precious", "text");
    all.make("a socket where a file is", "--bind unix:precious");
    let _live = UnixListener::bind(all.dir.path().join("live.sock")).unwrap();
    all.make("a socket on which somebody listens", "--bind unix:live.sock");
    all.make_as("a socket in a folder of somebody else", "--bind unix:app.sock", &[], Some(&nobody));

    all.make("a flag that is misspelt", "--drain-on-trem");
    all.make("a flag that is not there", "--frobnicate");
    all.make("to run in the background", "--daemon");
    all.make("TLS", "--certfile cert.pem --keyfile key.pem");
    all.make("to reload at each change", "--reload");
    all.make("a number out of bounds", "--workers 0");
    all.make("a time with a unit", "--timeout 30s");
    all.make("a worker class of gunicorn's", "--worker-class gevent");
    all.make("an app that is not there", "shop");
    all.make("a Python app without Python", "shop.wsgi:application");
    all.make("a flag for another kind of app", "--preload demo");

    all.make("a settings file that is not there", "--config production.toml");
    all.file("key.toml", "bind = ':8000'\nwrokers = 2\n");
    all.make("a key that is misspelt", "--config key.toml");
    all.file("dash.toml", "drain-on-term = true\n");
    all.make("a key with a dash", "--config dash.toml");
    all.file("type.toml", "workers = 'two'\n");
    all.make("a value of the wrong kind", "--config type.toml");
    all.file("table.toml", "[server]\nworkers = 2\n");
    all.make("a table", "--config table.toml");
    all.file("syntax.toml", "workers 2\n");
    all.make("no TOML", "--config syntax.toml");
    all.file("gunicorn.conf.py", "workers = max(2, 4)\n");
    all.make("gunicorn's file", "--config gunicorn.conf.py");
    all.make_as("a variable that makes no sense", "", &[("WEB_CONCURRENCY", "auto")], None);
    all.make_as("words with an open quote", "", &[("RSERVE_CMD_ARGS", "--name 'my shop")], None);

    all.make("a user that is not there", "--user no-such-user");
    all.make("a group that is not there", "--group no-such-group");
    all.make("a user's number without a group", "--user 54321");
    all.make("a mask that is none", "--umask rwx");
    all.make_as("another user without the right to it", "--user root --group root", &[], Some(&nobody));
    all.file("live.pid", "1\n");
    all.make("a pid file of somebody who lives", "--bind 127.0.0.1:0 --pid live.pid");
    all.make("a pid file in a folder that is not there", "--bind 127.0.0.1:0 --pid run/app.pid");
    all.make_as("a pid file without the right to it", "--bind 127.0.0.1:0 --pid app.pid", &[], Some(&nobody));
    all.make("a log file in a folder that is not there", "--bind 127.0.0.1:0 --log-file log/app.log");
    all.make("a folder that is not there", "--chdir nowhere");
    all.make("a folder that is a file", "--chdir precious");

    expect_file!["mistakes.txt"].assert_eq(&all.said.replace(&port.to_string(), "8000"));
}

/// What goes wrong while it serves: the lines that tell of it, with N for numbers that differ each time.
#[test]
fn each_trouble_is_told_in_a_line() {
    let mut all = String::new();
    let mut tell = |what: &str, server: &Server, begins: &[&str]| {
        all += &format!("# {what}\n");
        for begins in begins {
            let line = server.wait_for_line(SOON, what, |line| without_time(&line.text).contains(begins));
            let text = without_time(&line.text).replace(server.dir().to_str().unwrap(), "/folder");
            all += &format!("    {}\n", without_numbers(&text));
        }
        all += "\n";
    };
    let start = |builder: Builder| {
        let server = builder.text_log().env("NO_COLOR", "1").spawn();
        server.wait_for_line(SOON, "readiness", |line| line.text.contains("listening"));
        server
    };
    let plain = || Server::builder("sync");

    let server = start(plain().args(["--timeout", "1"]));
    let mut conn = Conn::open(&server.target()).unwrap();
    conn.send(request("/sleep/60000")).unwrap();
    tell("a request that never ends", &server, &["did not beat", "died with"]);

    let server = start(plain());
    server.wait_for_workers(SOON, |workers| workers.len() == 1);
    send(server.workers()[0], SIGKILL);
    tell("a worker that somebody kills", &server, &["was killed by SIGKILL"]);
    let again = server.wait_for_workers(SOON, |workers| workers.len() == 1);
    send(again[0], SIGTERM);
    tell("a worker that somebody sends away", &server, &["was sent a SIGTERM"]);

    let mut server = start(plain());
    let worker = server.workers()[0];
    send(worker, SIGSTOP);
    let _waiting: Vec<Conn> = (0..3).map(|_| Conn::open(&server.target()).unwrap()).collect();
    server.signal(SIGTERM);
    tell("a stop while somebody waits", &server, &["SIGTERM: stopping", "left in the backlog"]);
    server.signal(SIGTERM);
    tell("another SIGTERM", &server, &["SIGTERM again"]);
    send(worker, SIGCONT);
    server.wait_exit(SOON);

    let server = start(plain().args(["--graceful-timeout", "0.5"]).drain(0.1));
    let mut conn = Conn::open(&server.target()).unwrap();
    conn.send(request("/sleep/60000")).unwrap();
    server.signal(SIGTERM);
    tell("a request that outlasts the stop", &server, &["--graceful-timeout is over", "cut after", "died with"]);

    let server = start(plain().settings_file("workers = 1"));
    for (what, text, begins) in [
        ("a reload of a file with a mistake", "wrokers = 2", "'wrokers'"),
        ("a reload of what only a restart changes", "backlog = 100", "only a restart"),
    ] {
        server.rewrite_settings(text);
        server.signal(SIGHUP);
        tell(what, &server, &[begins]);
    }

    let server = start(plain());
    server.signal(SIGUSR2);
    server.wait_for_line(SOON, "the successor", |line| line.text.contains("serves; SIGTERM"));
    server.signal(SIGUSR2);
    tell("an upgrade during an upgrade", &server, &["is there already"]);

    expect_file!["troubles.txt"].assert_eq(&all);
}

fn without_numbers(line: &str) -> String {
    let mut text = String::new();
    for part in line.split_inclusive(|c: char| !c.is_ascii_digit()) {
        let digits = part.trim_end_matches(|c: char| !c.is_ascii_digit());
        text += &if digits.len() > 2 { part.replace(digits, "N") } else { part.to_owned() };
    }
    // How long something took is a little more than it was to.
    while let Some(at) = text
        .as_bytes()
        .windows(5)
        .position(|five| five[0].is_ascii_digit() && five[1] == b'.' && five[2].is_ascii_digit() && five[3..] == *b" s")
    {
        text.replace_range(at..at + 3, "N");
    }
    text
}
