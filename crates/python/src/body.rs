use std::cell::Cell;
use std::fs::File;
use std::io;
use std::ops::Range;

use bytes::Bytes;
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyByteArray, PyBytes, PyIterator, PyList, PyString, PyTuple};
use rserve::{Answer, Body, RawHead};

use crate::closing::{self, Closing};
use crate::file_wrapper::FileWrapper;
use crate::start_response::StartResponse;
use crate::{errors, host};

/// Up to here the event loop copies a body next to its head; a larger one stays where it is.
const COPIED: usize = 4 * 1024;

/// What the app has returned, as a response.
pub(crate) fn response(returned: &Bound<'_, PyAny>, start: &Bound<'_, StartResponse>, line: &[u8]) -> PyResult<Answer> {
    if let Some(body) = listed(returned, start) {
        return body;
    }
    let close = returned.getattr_opt(intern!(returned.py(), "close"))?.map(Bound::unbind);
    let closing = Leftover(Some(Closing { iterator: None, close, line: line.into() }));
    match sent_by_us(returned, start)? {
        // With the file open the app is needed no more.
        Some((head, file, range)) => Ok(Answer::new(head, Body::file(file, range))),
        None => iterated(returned, start, closing),
    }
}

/// If it is one of the plain sequences, which have no `close()` and run no code.
fn listed(returned: &Bound<'_, PyAny>, start: &Bound<'_, StartResponse>) -> Option<PyResult<Answer>> {
    if let Ok(list) = returned.cast_exact::<PyList>() {
        Some(joined(list.iter(), start))
    } else if let Ok(tuple) = returned.cast_exact::<PyTuple>() {
        Some(joined(tuple.iter(), start))
    } else {
        None
    }
}

fn joined<'py>(
    mut pieces: impl ExactSizeIterator<Item = Bound<'py, PyAny>>,
    start: &Bound<'py, StartResponse>,
) -> PyResult<Answer> {
    let (head, mut written) = started(start)?;
    if pieces.len() == 1
        && written.is_empty()
        && let Some(only) = pieces.next()
    {
        return Ok(Answer::new(head, bytes(&piece(only)?).into()));
    }
    for next in pieces {
        written.extend_from_slice(piece(next)?.as_bytes());
    }
    Ok(Answer::new(head, written.into()))
}

#[expect(clippy::needless_pass_by_value, reason = "it is what iterators give")]
fn piece(piece: Bound<'_, PyAny>) -> PyResult<Bound<'_, PyBytes>> {
    match piece.cast::<PyBytes>() {
        Ok(bytes) => Ok(bytes.clone()),
        Err(_) => {
            let kind = piece.get_type().name()?;
            Err(PyTypeError::new_err(format!("a piece of the response body is {kind}: bytes are needed")))
        }
    }
}

fn bytes(piece: &Bound<'_, PyBytes>) -> Bytes {
    let bytes = piece.as_bytes();
    if bytes.len() <= COPIED {
        Bytes::copy_from_slice(bytes)
    } else {
        Bytes::from_owner(PyBackedBytes::from(piece.clone()))
    }
}

fn started(start: &Bound<'_, StartResponse>) -> PyResult<(RawHead, Vec<u8>)> {
    start.borrow_mut().take().ok_or_else(|| PyRuntimeError::new_err("the app did not call start_response"))
}

/// A response that is sent from a file without the app: its head, the file, and what of it.
type FromFile = (RawHead, File, Range<u64>);

fn sent_by_us(returned: &Bound<'_, PyAny>, start: &Bound<'_, StartResponse>) -> PyResult<Option<FromFile>> {
    let Ok(wrapper) = returned.cast_exact::<FileWrapper>() else { return Ok(None) };
    let Some((file, range)) = wrapper.borrow().plain_file(returned.py()) else { return Ok(None) };
    let (head, written) = started(start)?;
    if !written.is_empty() {
        return Err(PyRuntimeError::new_err("the app has both used write() and returned a file"));
    }
    let end = head.content_length().map_or(range.end, |stated| range.end.min(range.start.saturating_add(stated)));
    Ok(Some((head, file, range.start..end)))
}

/// Sees to it that what must be closed is, wherever the response ends.
struct Leftover(Option<Closing>);

impl Drop for Leftover {
    fn drop(&mut self) {
        if let Some(closing) = self.0.take() {
            closing::later(closing);
        }
    }
}

fn iterated(returned: &Bound<'_, PyAny>, start: &Bound<'_, StartResponse>, mut closing: Leftover) -> PyResult<Answer> {
    if returned.is_instance_of::<PyBytes>()
        || returned.is_instance_of::<PyString>()
        || returned.is_instance_of::<PyByteArray>()
    {
        let kind = returned.get_type().name()?;
        return Err(PyTypeError::new_err(format!(
            "the app returned {kind}: an iterable of bytes is needed, such as a list"
        )));
    }
    let mut iterator = returned.try_iter().or_else(|raised| {
        if returned.getattr_opt("__iter__")?.is_some() {
            return Err(raised);
        }
        let kind = returned.get_type().name()?;
        Err(PyTypeError::new_err(format!("the app returned {kind}: an iterable of bytes is needed")))
    })?;
    // The head goes with the first piece: until then the app may change its mind.
    let first = next_piece(&mut iterator)?;
    let (head, mut written) = started(start)?;
    let Some(first) = first else { return Ok(Answer::new(head, written.into())) };
    let all = if written.is_empty() {
        bytes(&first)
    } else {
        written.extend_from_slice(first.as_bytes());
        written.into()
    };
    if head.content_length() == Some(all.len() as u64) {
        if let Some(closing) = &mut closing.0 {
            closing.iterator = Some(iterator.unbind());
        }
        return Ok(Answer::new(head, all.into()));
    }
    let (iterator, start) = (iterator.unbind(), start.clone().unbind());
    let rest = Pieces { first: Some(all), iterator, start, closing, _unfinished: Unfinished::new() };
    Ok(Answer::new(head, Body::stream(rest)))
}

/// The next piece that has bytes in it.
pub(crate) fn next_piece<'py>(iterator: &mut Bound<'py, PyIterator>) -> PyResult<Option<Bound<'py, PyBytes>>> {
    for next in iterator {
        let next = piece(next?)?;
        if !next.as_bytes().is_empty() {
            return Ok(Some(next));
        }
    }
    Ok(None)
}

/// The body as the app gives it.
struct Pieces {
    first: Option<Bytes>,
    iterator: Py<PyIterator>,
    start: Py<StartResponse>,
    closing: Leftover,
    _unfinished: Unfinished,
}

thread_local! {
    static UNFINISHED: Cell<usize> = const { Cell::new(0) };
}

/// Whether this thread has the rest of a body still to give. Until then it runs nothing else of the app, and no other thread
/// asks that body: what is bound to a thread (a connection to a database, the context of a request) is that of one response
/// at a time.
pub(crate) fn is_unfinished() -> bool {
    UNFINISHED.get() > 0
}

struct Unfinished;

impl Unfinished {
    fn new() -> Self {
        UNFINISHED.set(UNFINISHED.get() + 1);
        Self
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        UNFINISHED.set(UNFINISHED.get() - 1);
    }
}

impl Iterator for Pieces {
    type Item = io::Result<Bytes>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(first) = self.first.take() {
            return Some(Ok(first));
        }
        Python::attach(|py| {
            let next = next_piece(&mut self.iterator.bind(py).clone());
            host::end_if_forked(py, next.as_ref().err());
            let mut written = self.start.borrow_mut(py).take_written();
            match next {
                Ok(None) if written.is_empty() => None,
                Ok(None) => Some(Ok(written.into())),
                Ok(Some(next)) if written.is_empty() => Some(Ok(bytes(&next))),
                Ok(Some(next)) => {
                    written.extend_from_slice(next.as_bytes());
                    Some(Ok(written.into()))
                }
                Err(raised) => {
                    let line = self.closing.0.as_ref().map_or(&b""[..], |closing| &closing.line);
                    errors::log(py, &raised, line, "the app failed within its response");
                    Some(Err(io::Error::other("the app failed")))
                }
            }
        })
    }
}

impl FileWrapper {
    /// The file itself and what is left of it, if the app has handed over one that was simply opened.
    fn plain_file(&self, py: Python<'_>) -> Option<(File, Range<u64>)> {
        let filelike = self.filelike(py);
        let kind = filelike.get_type();
        // Others may be more than their descriptor: one that unpacks what it reads, for example.
        let is_plain = kind.module().is_ok_and(|module| module == "_io")
            && kind.name().is_ok_and(|name| name == "BufferedReader" || name == "FileIO" || name == "BufferedRandom");
        if !is_plain {
            return None;
        }
        let descriptor: i32 = filelike.call_method0("fileno").ok()?.extract().ok()?;
        let at: u64 = filelike.call_method0("tell").ok()?.extract().ok()?;
        // Opened anew, so that it stays open when the app closes its own.
        let file = File::open(format!("/proc/self/fd/{descriptor}")).ok()?;
        let metadata = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
        Some((file, at..metadata.len().max(at)))
    }
}
