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

#[test]
#[expect(clippy::disallowed_methods, reason = "the codec is handed open files; a test has to open one")]
fn a_file_gives_its_range() {
    let path = std::env::temp_dir().join(format!("rserve-body-{}", std::process::id()));
    std::fs::write(&path, "0123456789").unwrap();
    let open = || File::open(&path).unwrap();
    let [all, part, none, beyond] = [0..10, 3..7, 4..4, 8..12].map(|range| Body::file(open(), range));
    let mut sent = Body::file(open(), 0..10);
    sent.advance(6);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(part.as_file().unwrap().1, 3..7);
    assert_eq!(drain(all), [Ok(Bytes::from("0123456789"))]);
    assert_eq!(drain(part), [Ok(Bytes::from("3456"))]);
    assert_eq!(none.in_memory(), Some(&b""[..]));
    assert_eq!(drain(none), []);
    assert_eq!(drain(beyond), [Ok(Bytes::from("89")), Err(io::ErrorKind::UnexpectedEof)]);
    assert_eq!(sent.len(), Some(4));
    assert_eq!(drain(sent), [Ok(Bytes::from("6789"))]);
}
