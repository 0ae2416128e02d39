use std::cell::RefCell;
use std::collections::HashMap;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use rserve::{HeaderMap, LoaderSettings, Request, RequestBody, Scheme};

use crate::errors::Errors;
use crate::field_keys::{FieldKeys, latin1};
use crate::file_wrapper::FileWrapper;
use crate::input::Input;
use crate::template::Template;

/// Makes the environ of a request (PEP 3333).
pub(crate) struct Environ {
    /// What all requests have, and under the keys that all have what most have.
    base: Py<PyDict>,
    header_map: HeaderMap,
    forwarder_headers: Vec<String>,
    /// From the variable of that name, as gunicorn has it.
    script_name: String,
}

/// Why a request gets no environ.
pub(crate) enum Unfit {
    /// A field name that `--header-map refuse` refuses.
    Underscore,
    /// The path is not below the SCRIPT_NAME.
    ScriptName(String),
    Python(PyErr),
}

impl Unfit {
    pub(crate) const fn raised(&self) -> Option<&PyErr> {
        if let Self::Python(raised) = self { Some(raised) } else { None }
    }
}

impl From<PyErr> for Unfit {
    fn from(error: PyErr) -> Self {
        Self::Python(error)
    }
}

#[derive(Default)]
struct Cache {
    keys: FieldKeys,
    template: Option<Template>,
    /// By the last bits of the number: a connection's requests all have the same.
    ports: Vec<Option<(u16, Py<PyString>)>>,
}

const PORTS: usize = 256;

thread_local! {
    // Leaked: at the end of the process there is no interpreter to give the strings back to.
    static CACHE: &'static RefCell<Cache> = Box::leak(Box::default());
}

impl Environ {
    pub(crate) fn new(py: Python<'_>, settings: &LoaderSettings) -> PyResult<Self> {
        let base = PyDict::new(py);
        // Interned keys are compared by address; `set_item` with a plain str would not intern.
        let set = |key: &str, value: Bound<'_, PyAny>| base.set_item(PyString::intern(py, key), value);
        let text = |text: &str| PyString::intern(py, text).into_any();
        let flag = |flag: bool| flag.into_pyobject(py).map(|flag| flag.to_owned().into_any());
        set("REQUEST_METHOD", text("GET"))?;
        set("SCRIPT_NAME", text(""))?;
        set("PATH_INFO", text("/"))?;
        set("QUERY_STRING", text(""))?;
        set("RAW_URI", text("/"))?;
        set("REQUEST_URI", text("/"))?;
        set("SERVER_PROTOCOL", text("HTTP/1.1"))?;
        set("SERVER_NAME", text(""))?;
        set("SERVER_PORT", text(""))?;
        set("REMOTE_ADDR", text(""))?;
        set("REMOTE_PORT", text(""))?;
        set("SERVER_SOFTWARE", text(concat!("rserve/", env!("CARGO_PKG_VERSION"))))?;
        set("wsgi.version", PyTuple::new(py, [1, 0])?.into_any())?;
        set("wsgi.url_scheme", text("http"))?;
        set("wsgi.input", Py::new(py, Input::new(RequestBody::Empty))?.into_bound(py).into_any())?;
        set("wsgi.errors", Py::new(py, Errors)?.into_bound(py).into_any())?;
        set("wsgi.multithread", flag(settings.worker_class != "sync" && settings.threads > 1)?)?;
        set("wsgi.multiprocess", flag(settings.workers > 1)?)?;
        set("wsgi.run_once", flag(false)?)?;
        set("wsgi.input_terminated", flag(true)?)?;
        set("wsgi.file_wrapper", py.get_type::<FileWrapper>().into_any())?;
        Ok(Self {
            base: base.unbind(),
            header_map: settings.header_map,
            forwarder_headers: settings.forwarder_headers.clone(),
            script_name: std::env::var("SCRIPT_NAME").unwrap_or_default(),
        })
    }

    /// The environ of this request, whose body it takes.
    pub(crate) fn of<'py>(&self, py: Python<'py>, request: &mut Request<'_>) -> Result<Bound<'py, PyDict>, Unfit> {
        let (environ, script_name) = CACHE.with(|cache| {
            let cache = &mut *cache.borrow_mut();
            let (environ, kept) = self.addressed(py, request, cache)?;
            let script_name = self.set_fields(&environ, request, kept, &mut cache.keys)?;
            Ok::<_, Unfit>((environ, script_name))
        })?;
        set_target(py, &environ, request, script_name.as_deref().unwrap_or(&self.script_name))?;
        let body = std::mem::take(request.body_mut());
        if !body.is_empty() {
            // Of a chunked body the length is known by now, and Django reads none without.
            if request.head().header("content-length").is_none() {
                environ.set_item(intern!(py, "CONTENT_LENGTH"), body.len().to_string())?;
            }
            environ.set_item(intern!(py, "wsgi.input"), Py::new(py, Input::new(body))?)?;
        }
        Ok(environ)
    }

    /// An environ with the addresses, and with so many of the first header fields.
    fn addressed<'py>(
        &self,
        py: Python<'py>,
        request: &Request<'_>,
        cache: &mut Cache,
    ) -> PyResult<(Bound<'py, PyDict>, usize)> {
        let base = self.base.bind(py);
        let (Some(peer), Some(local)) = (request.peer(), request.local()) else {
            let environ = base.copy()?;
            set_addresses(&environ, request)?;
            return Ok((environ, 0));
        };
        let template = match &mut cache.template {
            Some(template) if template.local() == local => template,
            other => other.insert(Template::new(base, local)?),
        };
        let filled = template.fill(py, peer.ip(), request, &mut cache.keys)?;
        cache.ports.resize_with(PORTS, || None);
        let known = &mut cache.ports[usize::from(peer.port()) % PORTS];
        if known.as_ref().is_none_or(|(port, _)| *port != peer.port()) {
            *known = Some((peer.port(), PyString::new(py, &peer.port().to_string()).unbind()));
        }
        if let Some((_, text)) = known {
            filled.0.set_item(intern!(py, "REMOTE_PORT"), &*text)?;
        }
        Ok(filled)
    }

    /// The header fields but for so many of the first; and the SCRIPT_NAME of one who may say so.
    fn set_fields(
        &self,
        environ: &Bound<'_, PyDict>,
        request: &Request<'_>,
        kept: usize,
        keys: &mut FieldKeys,
    ) -> Result<Option<String>, Unfit> {
        let py = environ.py();
        let (mut script_name, mut set) = (None, environ.len());
        for (name, value) in request.head().headers().skip(kept) {
            if name.contains('_') {
                if !self.lets_in(name, request)? {
                    continue;
                }
                if name.eq_ignore_ascii_case("SCRIPT_NAME") {
                    script_name = Some(value.iter().copied().map(char::from).collect());
                }
            } else if name.len() == 17 && name.eq_ignore_ascii_case("transfer-encoding") {
                // What it stood for is undone: the body comes as it is.
                continue;
            }
            environ.set_item(keys.key(py, name), latin1(py, value))?;
            set += 1;
        }
        if environ.len() < set {
            self.join_repeated(environ, request)?;
        }
        Ok(script_name)
    }

    /// A key was set twice: joins the values of each, in their order.
    fn join_repeated(&self, environ: &Bound<'_, PyDict>, request: &Request<'_>) -> Result<(), Unfit> {
        let mut values: HashMap<String, Vec<&[u8]>> = HashMap::new();
        for (name, value) in request.head().headers() {
            if !name.contains('_') || self.lets_in(name, request)? {
                values.entry(name.to_ascii_uppercase().replace('-', "_")).or_default().push(value);
            }
        }
        for (name, values) in values.iter().filter(|(_, values)| values.len() > 1) {
            let key = if name == "CONTENT_TYPE" { name.clone() } else { format!("HTTP_{name}") };
            let separator: &[u8] = if name == "COOKIE" { b"; " } else { b"," };
            environ.set_item(key, latin1(environ.py(), &values.join(separator)))?;
        }
        Ok(())
    }

    /// Whether a name with an underscore may be seen by the app.
    fn lets_in(&self, name: &str, request: &Request<'_>) -> Result<bool, Unfit> {
        let is_listed = |listed: &String| listed == "*" || listed.eq_ignore_ascii_case(name);
        if request.is_believed() && self.forwarder_headers.iter().any(is_listed) {
            return Ok(true);
        }
        match self.header_map {
            HeaderMap::Drop => Ok(false),
            HeaderMap::Refuse => Err(Unfit::Underscore),
            HeaderMap::Dangerous => Ok(true),
        }
    }
}

/// Where at least one side has none: on a Unix socket, where a proxy may name the client.
fn set_addresses(environ: &Bound<'_, PyDict>, request: &Request<'_>) -> PyResult<()> {
    let py = environ.py();
    match request.peer() {
        Some(peer) => {
            environ.set_item(intern!(py, "REMOTE_ADDR"), peer.ip().to_string())?;
            environ.set_item(intern!(py, "REMOTE_PORT"), peer.port().to_string())?;
        }
        None => environ.del_item(intern!(py, "REMOTE_PORT"))?,
    }
    match request.local() {
        Some(local) => {
            environ.set_item(intern!(py, "SERVER_NAME"), local.ip().to_string())?;
            environ.set_item(intern!(py, "SERVER_PORT"), local.port().to_string())
        }
        None => set_server_by_host(environ, request),
    }
}

/// On a Unix socket there is only the client's word for it.
fn set_server_by_host(environ: &Bound<'_, PyDict>, request: &Request<'_>) -> PyResult<()> {
    let py = environ.py();
    let host = request.head().header("host").and_then(|host| str::from_utf8(host).ok()).unwrap_or_default();
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (name, port),
        _ => (host, ""),
    };
    let default = if request.client().scheme == Scheme::Https { "443" } else { "80" };
    // PEP 3333: neither may be empty.
    environ.set_item(intern!(py, "SERVER_NAME"), if name.is_empty() { "localhost" } else { name })?;
    environ.set_item(intern!(py, "SERVER_PORT"), if port.is_empty() { default } else { port })
}

/// The request line's part, and the scheme.
fn set_target(
    py: Python<'_>,
    environ: &Bound<'_, PyDict>,
    request: &Request<'_>,
    script_name: &str,
) -> Result<(), Unfit> {
    let head = request.head();
    if head.method() != "GET" {
        environ.set_item(intern!(py, "REQUEST_METHOD"), PyString::new(py, head.method()))?;
    }
    if head.version() == rserve::Version::Http10 {
        environ.set_item(intern!(py, "SERVER_PROTOCOL"), intern!(py, "HTTP/1.0"))?;
    }
    if request.is_believed() && request.client().scheme == Scheme::Https {
        environ.set_item(intern!(py, "wsgi.url_scheme"), intern!(py, "https"))?;
    }
    let (target, path) = (head.target(), head.path());
    if target != "/" {
        let target = PyString::new(py, target);
        environ.set_item(intern!(py, "RAW_URI"), &target)?;
        environ.set_item(intern!(py, "REQUEST_URI"), target)?;
    }
    if let Some(query) = head.query() {
        environ.set_item(intern!(py, "QUERY_STRING"), PyString::new(py, query))?;
    }
    let Some(rest) = path.strip_prefix(script_name) else { return Err(Unfit::ScriptName(script_name.to_owned())) };
    if !script_name.is_empty() {
        environ.set_item(intern!(py, "SCRIPT_NAME"), latin1(py, script_name.as_bytes()))?;
    }
    if rest != "/" {
        environ.set_item(intern!(py, "PATH_INFO"), latin1(py, &unquote(rest)))?;
    }
    Ok(())
}

/// Undoes percent-encoding; what is no escape stays as it is.
fn unquote(text: &str) -> std::borrow::Cow<'_, [u8]> {
    let bytes = text.as_bytes();
    if !bytes.contains(&b'%') {
        return bytes.into();
    }
    let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let (mut plain, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        match (bytes[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                plain.push((high * 16 + low) as u8);
                at += 3;
            }
            (byte, ..) => {
                plain.push(byte);
                at += 1;
            }
        }
    }
    plain.into()
}
