//! Runs the example.

use std::{
    io::{BufRead, BufReader, Read, Write},
    mem,
    net::TcpStream,
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// The example, running. It ends with this.
pub(crate) struct Server {
    child: Child,
    log: BufReader<ChildStderr>,
    said: String,
    pub(crate) address: String,
}

impl Server {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut server = Self::spawn(arguments);
        let mut lines = server.log.by_ref().lines().map_while(Result::ok);
        let address =
            lines.find_map(|line| Some(line.split_once("listening on http://")?.1.split_once(' ')?.0.to_owned()));
        server.address = address.expect("it says where it listens");
        server
    }

    pub(crate) fn spawn(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_axum-example"));
        let mut child = command
            .args(["--bind", "127.0.0.1:0"])
            .args(arguments)
            .stderr(Stdio::piped())
            .spawn()
            .expect("it was built");
        let log = BufReader::new(child.stderr.take().expect("it is piped"));
        Self { child, log, said: String::new(), address: String::new() }
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time that is not zero");
        stream
    }

    /// The whole of what comes on a connection of its own.
    pub(crate) fn ask(&self, method: &str, path: &str, fields: &str) -> String {
        let mut stream = self.connect();
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}\r\n")
            .expect("it reads");
        let mut response = String::new();
        stream.read_to_string(&mut response).expect("it answers");
        response
    }

    /// Signals the arbiter, and waits until it has said `heard`.
    pub(crate) fn signal(&mut self, signal: Signal, heard: &str) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).expect("it runs");
        let mut line = String::new();
        while !line.contains(heard) {
            line.clear();
            let read = self.log.read_line(&mut line).expect("it is text");
            assert!(read > 0, "it has not said {heard:?}: {}", self.said);
            self.said.push_str(&line);
        }
    }

    /// Waits for its end: how that was, and what it has said.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        self.log.read_to_string(&mut self.said).expect("it is text");
        (self.child.wait().expect("it is our child"), mem::take(&mut self.said))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its workers end with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
