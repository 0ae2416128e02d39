//! The example is built, greets, and stops as it is told.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, ChildStderr, Command, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

struct Server {
    child: Child,
    log: BufReader<ChildStderr>,
}

impl Server {
    fn start() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hello"));
        let mut child = command.args(["--bind", "127.0.0.1:0"]).stderr(Stdio::piped()).spawn().expect("it was built");
        let log = BufReader::new(child.stderr.take().expect("it is piped"));
        Self { child, log }
    }

    /// Where it listens, from the line that says so.
    fn address(&mut self) -> String {
        let mut lines = self.log.by_ref().lines().map_while(Result::ok);
        let address =
            lines.find_map(|line| Some(line.split_once("listening on http://")?.1.split_once(' ')?.0.to_owned()));
        address.expect("it says where it listens")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its workers end with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn get(address: &str, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    Ok(response)
}

#[test]
fn it_greets_whoever_the_path_names_and_stops() {
    let mut server = Server::start();
    let address = server.address();
    for (path, greeting) in [("/", "hello, world\n"), ("/you", "hello, you\n")] {
        let response = get(&address, path).unwrap();
        assert!(response.starts_with("HTTP/1.1 200 OK\r\n") && response.ends_with(greeting), "{response}");
    }
    kill(Pid::from_raw(server.child.id().cast_signed()), Signal::SIGTERM).unwrap();
    let mut rest = String::new();
    server.log.read_to_string(&mut rest).unwrap();
    assert!(server.child.wait().unwrap().success(), "{rest}");
}
