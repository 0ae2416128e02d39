//! HTTP/1.1 for a server, without IO: bytes in, events out; responses in, bytes out.  And the types an app is made of.
//!
//! # In scope
//!
//! - Requests: [`Decoder`] turns the bytes of a connection into [`Event`]s, within [`Limits`], or into a [`Refusal`].
//!   Keep-alive, pipelining, Content-Length and chunked bodies, `Expect: 100-continue`, HTTP/1.0 clients.
//! - Responses: [`encode_head`] and the functions beside it append to a buffer.
//! - Proxies in front: [`ProxyProtocol`] reads what comes before the first request; [`Client`] is what forwarded fields say,
//!   if somebody on an [`AllowList`] has sent them.
//! - Apps: [`Handler`], [`App`], [`Request`], [`RequestBody`], [`Response`], [`Body`];
//!   [`AsyncApp`] and [`AsyncBody`] for those that are awaited.
//!
//! # Out of scope
//!
//! - Sockets, buffers, time limits and the clock: the event loop has them; the date is a parameter.
//! - HTTP/2, upgrades, CONNECT, and interim responses other than 100.
//! - Meaning: percent-decoding, routing, content codings.
//! - Trailer fields: they are checked, and dropped.
//!
//! # Strictness
//!
//! A request that two parsers could read in two ways is refused, even where RFC 9112 lets a server guess: bare LF, two
//! lengths, a length beside a transfer coding, a target and a Host field that differ.
#![forbid(unsafe_code)]

mod allow_list;
mod answer;
mod app;
mod async_app;
mod async_body;
mod body;
mod chunked;
mod client;
mod decoder;
mod encode;
mod framing;
mod head;
mod limits;
mod octets;
mod parse;
mod proxy;
mod raw_head;
mod refusal;
mod request;
mod scan;
mod target;

pub use allow_list::{AllowList, AllowListError};
pub use answer::{Answer, AnswerHead};
pub use app::{App, Handler, Response};
pub use async_app::{AsyncAnswer, AsyncApp};
pub use async_body::AsyncBody;
pub use body::Body;
pub use client::{Client, Scheme};
pub use decoder::{Decoder, Event};
pub use encode::{
    CHUNK_END, CONTINUE, Exchange, Outgoing, ResponseError, chunk_head, encode_chunk, encode_error, encode_head,
    encode_last_chunk, format_date,
};
pub use framing::Framing;
pub use head::{Head, HeadIndex, Version};
pub use limits::Limits;
pub use proxy::{ProxyHeader, ProxyProtocol, ProxyRefusal};
pub use raw_head::RawHead;
pub use refusal::Refusal;
pub use request::{ConnectInfo, Request, RequestBody};
