//! What the kernel tells of a connection, where neither end does.

use std::{fs, net::SocketAddr};

/// Whether the server has accepted the connection between these addresses, and read all that was sent on it.
pub(crate) fn taken(client: SocketAddr, server: SocketAddr) -> bool {
    let table = fs::read_to_string("/proc/net/tcp").expect("proc(5) promises it");
    let entry = |local: SocketAddr, remote: SocketAddr| {
        let ends = [local, remote].map(|end| format!(":{:04X}", end.port()));
        table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).find(|fields| {
            fields.len() > INODE && ends.iter().zip(&fields[1..]).all(|(end, field)| field.ends_with(end.as_str()))
        })
    };
    // What the one has not sent, and what the other has not read, are the halves of the field.
    let (Some(ours), Some(theirs)) = (entry(client, server), entry(server, client)) else { return false };
    // A connection that waits to be accepted belongs to no file.
    theirs[INODE] != "0" && ours[QUEUES].starts_with(EMPTY) && theirs[QUEUES].ends_with(EMPTY)
}

const QUEUES: usize = 4;
const INODE: usize = 9;
const EMPTY: &str = "00000000";
