use http::StatusCode;
use pyo3::prelude::*;
use rserve::{Answer, Body, Handler, LoaderSettings, Request, Response};

use crate::environ::{Environ, Unfit};
use crate::errors;
use crate::start_response::StartResponse;
use crate::{body, closing, host};

/// A WSGI app.
pub(crate) struct Wsgi {
    app: Py<PyAny>,
    environ: Environ,
}

impl Wsgi {
    pub(crate) fn new(app: &Bound<'_, PyAny>, settings: &LoaderSettings) -> PyResult<Self> {
        Ok(Self { app: app.clone().unbind(), environ: Environ::new(app.py(), settings)? })
    }

    fn call(&self, py: Python<'_>, request: &mut Request<'_>) -> Result<Answer, Unfit> {
        let environ = self.environ.of(py, request)?;
        let start = StartResponse::new(py)?;
        let result = self.app.bind(py).call1((environ, &start))?;
        let answer = body::response(&result, &start, request.head().request_line())?;
        drop(result);
        StartResponse::give_back(start);
        Ok(answer)
    }
}

impl Handler for Wsgi {
    fn handle(&self, request: Request<'_>) -> Response {
        self.answer(request).into_response()
    }

    fn answer(&self, mut request: Request<'_>) -> Answer {
        Python::attach(|py| {
            closing::close_all(py);
            let answer = self.call(py, &mut request);
            let raised = answer.as_ref().err().and_then(Unfit::raised);
            host::end_if_forked(py, raised);
            answer.unwrap_or_else(|unfit| answer_unfit(py, &unfit, &request).into())
        })
    }
}

fn answer_unfit(py: Python<'_>, unfit: &Unfit, request: &Request<'_>) -> Response {
    match unfit {
        Unfit::Underscore => {
            return error(StatusCode::BAD_REQUEST, "a header field name has an underscore\n");
        }
        Unfit::ScriptName(name) => {
            let line = String::from_utf8_lossy(request.head().request_line());
            tracing::error!(request = %line, "the path does not begin with the SCRIPT_NAME '{name}'");
        }
        Unfit::Python(raised) => {
            errors::log(py, raised, request.head().request_line(), "the app failed");
        }
    }
    error(StatusCode::INTERNAL_SERVER_ERROR, "internal server error\n")
}

fn error(status: StatusCode, text: &'static str) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let kind = http::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    response
}
