//! The only place in this crate with `unsafe`: what neither `nix` nor `socket2` offers.
#![expect(unsafe_code, reason = "raw system calls, each with its SAFETY comment")]

mod accept;
pub(crate) mod gate;

pub(crate) use accept::accept;
