//! Does it serve?

use std::time::Duration;

use crate::{
    client::{Client, get},
    server::{Setup, Socket},
    verdict::{Advise, Finding, Verdict, ensure},
};

use super::ONE;

const SERVE: &str = "serve_step must accept one of those who wait (Context::wait_for_connection, Context::accept), have the \
                     app answer, and send the whole response";

pub(super) fn serves(setup: &Setup<'_>) -> Verdict {
    let server = setup.start(&ONE)?;
    let body = server.get("/hello", SERVE)?;
    ensure(body == "Hello, World!", SERVE, || format!("GET /hello was answered with {body:?}"))?;
    let clients: Result<Vec<_>, _> = (0..40).map(|_| Client::asking(server.target(), "/hello")).collect();
    for (index, mut client) in clients.or_advise("connecting forty times", SERVE)?.into_iter().enumerate() {
        let doing = format!("the response to client {} of forty that came at once", index + 1);
        let response = client.response().or_advise(&doing, SERVE)?;
        ensure(response.status == 200, SERVE, || format!("{doing} was {}", response.status))?;
    }
    Ok(())
}

pub(super) fn serves_on_a_unix_socket(setup: &Setup<'_>) -> Verdict {
    let server = setup.start_on(Socket::Unix, &ONE)?;
    server.get("/hello", "Accepted::peer and Accepted::local are None on a Unix socket: serve it all the same")?;
    Ok(())
}

pub(super) fn speaks_http(setup: &Setup<'_>) -> Verdict {
    const DECODE: &str = "decode requests with rserve_http::Decoder, and give the app the whole body";
    let server = setup.start(&ONE)?;
    let echoed = |request: &str, doing: &str| -> Verdict {
        let sent = Client::open(server.target()).and_then(|mut client| {
            client.send(request)?;
            client.response()
        });
        let response = sent.or_advise(doing, DECODE)?;
        let text = response.text();
        ensure(response.status == 200 && text.ends_with("hello, body"), DECODE, || {
            format!("{doing} was answered with {} and {text:?}", response.status)
        })
    };
    echoed("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello, body", "a body with Content-Length")?;
    echoed(
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nhello, \r\n4\r\nbody\r\n0\r\n\r\n",
        "a chunked body",
    )?;
    echoed("POST /echo HTTP/1.0\r\nContent-Length: 11\r\n\r\nhello, body", "a request of HTTP/1.0")?;

    let length = 3_000_000;
    let body = server.get(&format!("/bytes/{length}"), "send the body until Body::next_chunk has no more")?.len();
    // Not all of them are text, and what is not becomes a longer character.
    ensure(body >= length, SERVE, || format!("a body of {length} bytes came with {body}"))?;

    let refused = Client::open(server.target()).and_then(|mut client| {
        client.send("GET /hello HTTP/1.1\r\n\r\n")?;
        client.response()
    });
    let advice = "answer what the decoder refuses with Refusal::encode, and shut the connection down for writing before it \
                  is dropped: the kernel resets one whose input was not read";
    let status = refused.or_advise("a request without Host", advice)?.status;
    ensure(status == 400, advice, || format!("a request without Host was answered with {status}"))
}

pub(super) fn outlives_its_clients(setup: &Setup<'_>) -> Verdict {
    const OUTLIVE: &str = "an error of one connection is no error of the step: finish its ticket as Outcome::ClientGone, and \
                           return Ok";
    let server = setup.start(&ONE)?;
    server.get("/hello", SERVE)?;
    let before = server.workers();
    let large = get("/bytes/30000000");
    for (doing, words) in [
        ("says nothing", ""),
        ("sends half a head", "GET /hel"),
        ("sends half a body", "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhal"),
        ("does not wait for the response", "GET /sleep/100 HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("leaves in the middle of the response", &large),
    ] {
        let mut client = Client::open(server.target()).or_advise("connecting", SERVE)?;
        client.send(words).or_advise("sending", SERVE)?;
        if words == large {
            client.exactly(100_000).or_advise("a large response", SERVE)?;
        }
        drop(client);
        let after =
            |finding: Finding| Finding { saw: format!("after a client that {doing}, {}", finding.saw), ..finding };
        server.get("/hello", OUTLIVE).map_err(after)?;
        let now = server.workers();
        ensure(before == now, OUTLIVE, || format!("the worker {before:?} is gone, and there is {now:?}"))
            .map_err(after)?;
    }
    // The last one's departure may take a worker a moment to notice.
    server.stays_alive(Duration::from_millis(300), OUTLIVE)
}
