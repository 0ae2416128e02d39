//! A real balancer in front of two servers.

use std::{
    fmt,
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr},
    process::{Command, Stdio},
};

use tempfile::TempDir;

use super::{
    Target, free_port,
    peers::{Program, installed},
};

/// The balancers there are, as Debian packages them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Looks every 100 ms whether a server accepts connections.
    HaProxy,
    /// Keeps idle connections to its servers, and learns that one is gone from a refused connect.
    Nginx,
}

impl Kind {
    /// Those that can be run here.
    pub(crate) fn installed() -> Vec<Self> {
        [Self::HaProxy, Self::Nginx].into_iter().filter(|kind| installed(kind.program()).is_some()).collect()
    }

    const fn program(self) -> &'static str {
        match self {
            Self::HaProxy => "haproxy",
            Self::Nginx => "nginx",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HaProxy => "HAProxy",
            Self::Nginx => "nginx",
        })
    }
}

/// A running balancer. It tries the other server when a connect is refused, and sends nothing twice.
pub(crate) struct Balancer {
    address: SocketAddr,
    _program: Program,
    dir: TempDir,
}

impl Balancer {
    pub(crate) fn start(kind: Kind, servers: [SocketAddr; 2]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let file = dir.path().join("conf");
        let folder = dir.path().display();
        let (text, options) = match kind {
            Kind::HaProxy => (haproxy(address, servers), vec!["-db", "-f"]),
            Kind::Nginx => (nginx(address, servers, &folder), vec!["-g", "daemon off;", "-c"]),
        };
        fs::write(&file, text).expect("a file can be written");
        let program = installed(kind.program()).expect("only those that are installed are used");
        let log = File::create(dir.path().join("log")).expect("a file can be written");
        let mut command = Command::new(program);
        command.args(options).arg(&file).stdout(Stdio::null()).stderr(log);
        Self { address, _program: Program::start(&mut command, address), dir }
    }

    /// What it has said, such as which server it believes to be down.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).expect("the file is there")
    }

    pub(crate) fn target(&self) -> Target {
        Target::Tcp(self.address)
    }
}

fn haproxy(address: SocketAddr, [a, b]: [SocketAddr; 2]) -> String {
    // By default a check that takes as long as its interval has failed. A busy machine may hold up everybody for so long,
    // and then there would be no server left.
    format!(
        "global\n  maxconn 8000\n\
         defaults\n  mode http\n  timeout connect 2s\n  timeout client 60s\n  timeout server 60s\n  \
         timeout check 500ms\n  retries 3\n  option redispatch 1\n  retry-on conn-failure\n  \
         default-server check inter 100ms fall 1 rise 1\n\
         listen front\n  bind {address} backlog 2048\n  balance roundrobin\n  server a {a}\n  server b {b}\n"
    )
}

fn nginx(address: SocketAddr, [a, b]: [SocketAddr; 2], folder: &dyn fmt::Display) -> String {
    format!(
        "worker_processes 1; pid {folder}/pid; error_log {folder}/log;\n\
         events {{ worker_connections 8000; }}\n\
         http {{\n  access_log off;\n  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;\n  \
         fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n  \
         proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_connect_timeout 2s;\n  \
         upstream pool {{ server {a} max_fails=0; server {b} max_fails=0; keepalive 32; }}\n  \
         server {{ listen {address} backlog=2048; location / {{ proxy_pass http://pool; }} }}\n}}\n"
    )
}
