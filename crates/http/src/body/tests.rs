use super::*;

/// All pieces, an error as its kind.
fn drain(mut body: Body) -> Vec<Result<Bytes, io::ErrorKind>> {
    let mut pieces = Vec::new();
    while let Some(piece) = body.next_chunk() {
        pieces.push(piece.map_err(|error| error.kind()));
    }
    assert!(body.next_chunk().is_none() && body.is_empty(), "an ended body stays ended");
    pieces
}

fn pieces(texts: &'static [&'static str]) -> impl Iterator<Item = io::Result<Bytes>> + Send {
    texts.iter().map(|text| Ok(Bytes::from_static(text.as_bytes())))
}

#[test]
fn bytes_are_one_piece() {
    for body in [Body::from("abc"), String::from("abc").into(), vec![b'a', b'b', b'c'].into()] {
        assert_eq!(body.len(), Some(3));
        assert_eq!(drain(body), [Ok(Bytes::from("abc"))]);
    }
    for body in [Body::from(()), Body::empty(), "".into(), Body::reader(io::empty(), 0)] {
        assert!(body.is_empty());
        assert_eq!(drain(body), []);
    }
}

#[test]
fn a_reader_gives_what_was_promised() {
    let big = vec![b'x'; 100_000];
    let given = drain(Body::reader(io::Cursor::new(big.clone()), 100_000));
    assert_eq!(given.iter().map(|piece| piece.as_ref().unwrap().len()).collect::<Vec<_>>(), [65_536, 34_464]);

    assert_eq!(drain(Body::reader(&b"abcdef"[..], 3)), [Ok(Bytes::from("abc"))]);
    assert_eq!(drain(Body::reader(&b"ab"[..], 3)), [Ok(Bytes::from("ab")), Err(io::ErrorKind::UnexpectedEof)]);
}

#[test]
fn a_stream_is_held_to_its_promise() {
    let (a, b) = (Ok(Bytes::from("a")), Ok(Bytes::from("bc")));
    assert_eq!(drain(Body::stream(pieces(&["", "a", "", "bc", ""]))), [a.clone(), b.clone()]);
    assert_eq!(drain(Body::sized_stream(pieces(&["a", "bc"]), 3)), [a.clone(), b.clone()]);
    assert_eq!(drain(Body::sized_stream(pieces(&["a", "bc"]), 4)), [a.clone(), b, Err(io::ErrorKind::UnexpectedEof)]);
    assert_eq!(drain(Body::sized_stream(pieces(&["a", "bc"]), 2)), [a, Err(io::ErrorKind::InvalidData)]);
}

#[test]
fn nothing_comes_after_an_error() {
    let failing = [Ok(Bytes::from("a")), Err(io::Error::other("lost")), Ok(Bytes::from("b"))];
    assert_eq!(drain(Body::stream(failing.into_iter())), [Ok(Bytes::from("a")), Err(io::ErrorKind::Other)]);
}
