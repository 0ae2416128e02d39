use rserve_http::{Decoder, Event, Head, Limits, Refusal};

/// Bounds small enough for a short input to pass them.
pub(crate) const SMALL: Limits = Limits { request_line: 40, fields: 4, field_size: 40, body: Some(20) };

/// What happened on a connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// Everything that the head says, as text.
    Head(String),
    /// All of a body, once it is whole.
    Body(Vec<u8>),
    /// The end: refused.
    Refused(Refusal),
    /// The end: no more bytes. `body` is what there is of the body that has begun.
    Open { idle: bool, body: Vec<u8> },
}

/// Feeds the pieces as an event loop would, one after the other into one buffer.
pub(crate) fn drive<'a>(limits: Limits, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Entry> {
    let mut decoder = Decoder::new(limits);
    let (mut buffer, mut body, mut entries) = (Vec::new(), Vec::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            let (used, event) = match decoder.decode(&buffer) {
                Ok(found) => found,
                Err(refusal) => {
                    assert_eq!(decoder.decode(b"GET / HTTP/1.0\r\n\r\n"), Err(refusal), "a refusal is final");
                    entries.push(Entry::Refused(refusal));
                    return entries;
                }
            };
            match event {
                Event::NeedMore => {}
                Event::Head => entries.push(Entry::Head(describe(decoder.head().view(&buffer[..used])))),
                Event::Data(ref range) => {
                    assert!(!range.is_empty() && range.end == used, "data is where the contract says");
                    body.extend_from_slice(&buffer[range.clone()]);
                }
                Event::End => {
                    entries.push(Entry::Body(std::mem::take(&mut body)));
                    decoder.next_request();
                }
            }
            buffer.drain(..used);
            if event == Event::NeedMore {
                break;
            }
        }
    }
    entries.push(Entry::Open { idle: decoder.is_idle(), body });
    entries
}

fn describe(head: Head<'_>) -> String {
    let mut text = format!(
        "{} {} {:?} {} {:?}\n",
        head.request_line().escape_ascii(),
        head.target(),
        head.index().framing(),
        head.path(),
        head.query()
    );
    text += &format!("keep-alive {} continue {}\n", head.index().keep_alive(), head.index().expects_continue());
    for (name, value) in head.headers() {
        text += &format!("{name}={}\n", value.escape_ascii());
    }
    text
}
