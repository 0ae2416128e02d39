use std::sync::Arc;
use std::time::Duration;

use rserve_arbiter::BootError;
use rserve_http::{AllowList, App, Handler, Head, Limits, ProxyProtocol};

use crate::watch::Watch;

/// What a worker serves, and how.
///
/// ```
/// use rserve_event_loop::{HttpSettings, Site};
/// use rserve_http::{App, RequestBody};
///
/// fn hello(_: http::Request<RequestBody>) -> http::Response<&'static str> {
///     http::Response::new("hello\n")
/// }
///
/// let site = Site { app: App::blocking(hello), http: HttpSettings::default(), threads: 1 };
/// ```
#[derive(Clone, Debug)]
pub struct Site {
    /// The app.
    pub app: App,
    /// How connections are treated.
    pub http: HttpSettings,
    /// `--threads`: how many threads of one worker run the app, in a class that has them. At least 1.
    pub threads: usize,
}

impl Site {
    /// The app, for a worker class that runs only [`App::Blocking`].
    ///
    /// # Errors
    ///
    /// That the class of this name does not run the app there is, and which does.
    pub fn blocking_app(&self, class: &str) -> Result<Arc<dyn Handler>, BootError> {
        match &self.app {
            App::Blocking(handler) => Ok(Arc::clone(handler)),
            other => Err(BootError::worker(format!(
                "the worker class {class} runs blocking apps, and this is {other:?}; start it with --worker-class async"
            ))),
        }
    }
}

/// How connections are treated: bounds on what a client may send, hold, and take its time over.
///
/// ```
/// use std::time::Duration;
/// use rserve_event_loop::HttpSettings;
///
/// let http = HttpSettings { keep_alive: Some(Duration::from_secs(75)), ..HttpSettings::default() };
/// assert_eq!(http.worker_connections, 1000);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpSettings {
    /// Bounds on the size of a request.
    pub limits: Limits,
    /// How long a connection may lie idle between two requests. `None`, the default: it is closed after each response.
    pub keep_alive: Option<Duration>,
    /// How many connections a worker holds at once, those that are being closed included. 1000 by default.
    pub worker_connections: usize,
    /// From the first byte of a head to its last, and from the accept to the first byte. 30 seconds by default.
    pub head_timeout: Duration,
    /// The time in which another 4 KiB of a body (or the rest of it) must arrive. 30 seconds by default, so a client
    /// is cut below 136 bytes a second.
    pub body_timeout: Duration,
    /// The time in which the client must take more of a response. 60 seconds by default: the kernel asks for more only
    /// when a third of its buffer is free, which at 20 KiB a second can be half a minute.
    pub write_timeout: Duration,
    /// A request body of up to this many bytes is held in memory, whatever else is. 64 KiB by default. A larger one is if it
    /// fits into [`body_memory`](Self::body_memory), and otherwise goes to a temporary file (in `TMPDIR`, without a name).
    pub spool_threshold: usize,
    /// How many bytes of larger bodies, of up to 1 MiB each, one worker holds in memory until they are whole. 16 MiB by
    /// default.
    pub body_memory: usize,
    /// Paths whose requests are health checks: answered, but they do not hold the door open in a drain. Compared with
    /// the path of the target as it was sent. Empty by default; Kubernetes', AWS's and Google's checkers are known by
    /// their User-Agent.
    pub health_paths: Vec<String>,
    /// Whether small responses to several clients that are finished in one pass are sent together, never later than
    /// about a millisecond unless the app then takes longer than it lately did. True by default: on the same machine
    /// each send may wake the client on the core that works on the next request. Responses to pipelined requests of one
    /// client are sent together in any case.
    pub gather_responses: bool,
    /// Which versions of the PROXY protocol may stand before the first request of a connection. `None`, the default: none,
    /// so that a header is a malformed request.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Who may send a PROXY header, and then must. One from somebody else is refused; without one, others are served under
    /// their own address. This machine by default; Unix sockets always.
    pub proxy_allow_from: AllowList,
    /// Whose forwarded fields are believed: see [`rserve_http::Client`]. Compared with the address from the PROXY header
    /// where there is one. This machine by default; Unix sockets always.
    pub forwarded_allow_ips: Arc<AllowList>,
    /// Who is told of each response. Nobody by default.
    pub watch: Watch,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            keep_alive: None,
            worker_connections: 1000,
            head_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(60),
            spool_threshold: 64 * 1024,
            body_memory: 16 * 1024 * 1024,
            health_paths: Vec::new(),
            gather_responses: true,
            proxy_protocol: None,
            proxy_allow_from: AllowList::default(),
            forwarded_allow_ips: Arc::default(),
            watch: Watch::default(),
        }
    }
}

impl HttpSettings {
    /// Whether a request comes from something that only wants to know whether we live: what
    /// [`Ticket::request`](rserve_arbiter::Ticket::request) is to be told.
    #[must_use]
    pub fn is_health_check(&self, head: &Head<'_>) -> bool {
        const AGENTS: [&[u8]; 3] = [b"kube-probe/", b"ELB-HealthChecker/", b"GoogleHC/"];
        self.is_health_path(head)
            || head.header("user-agent").is_some_and(|agent| AGENTS.iter().any(|known| agent.starts_with(known)))
    }

    fn is_health_path(&self, head: &Head<'_>) -> bool {
        if self.health_paths.is_empty() {
            return false;
        }
        let path = head.path_bytes();
        self.health_paths.iter().any(|health| health.as_bytes() == path)
    }
}

#[cfg(test)]
mod tests {
    use rserve_http::Decoder;

    use super::*;

    #[test]
    fn health_checks_are_told_by_path_or_agent() {
        let settings = HttpSettings { health_paths: vec!["/healthz".into()], ..HttpSettings::default() };
        for (target, agent, health) in [
            ("/healthz", "curl/8", true),
            ("/healthz?full=1", "curl/8", true),
            ("/healthz/more", "curl/8", false),
            ("/", "kube-probe/1.31", true),
            ("/", "ELB-HealthChecker/2.0", true),
            ("/", "GoogleHC/1.0", true),
            ("/", "Mozilla/5.0 (kube-probe/1.31)", false),
        ] {
            let bytes = format!("GET {target} HTTP/1.1\r\nHost: a\r\nUser-Agent: {agent}\r\n\r\n");
            let mut decoder = Decoder::new(Limits::default());
            decoder.decode(bytes.as_bytes()).unwrap();
            let head = decoder.head().view(bytes.as_bytes());
            assert_eq!(settings.is_health_check(&head), health, "{target} {agent}");
        }
    }
}
