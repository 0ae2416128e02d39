//! The only place in this crate with `unsafe`: what neither `nix` nor `socket2` offers.
#![expect(unsafe_code, reason = "raw system calls, each with its SAFETY comment")]

mod accept;
mod adopt;
mod fork;
pub(crate) mod gate;
pub(crate) mod readings;
mod shared;
mod title;

pub(crate) use accept::accept;
pub(crate) use adopt::adopt_socket;
pub(crate) use fork::{Fork, SignalsBlocked, Threads, die_with, fork, threads};
pub(crate) use shared::map_page;
pub(crate) use title::{make_room_for_title, set_title};
