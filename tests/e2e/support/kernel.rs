//! What the kernel tells of a connection, where neither end does.

use std::{
    fs,
    net::{SocketAddr, SocketAddrV4},
};

/// Whether the server has accepted the connection between these IPv4 addresses, and read all that was sent on it.
pub(crate) fn taken(client: SocketAddr, server: SocketAddr) -> bool {
    let (SocketAddr::V4(client), SocketAddr::V4(server)) = (client, server) else { panic!("{client} is not IPv4") };
    let table = fs::read_to_string("/proc/net/tcp").expect("proc(5) promises it");
    // What the one has not sent, and what the other has not read, are the halves of the field.
    let (Some(ours), Some(theirs)) = (entry(&table, client, server), entry(&table, server, client)) else {
        return false;
    };
    // A connection that waits to be accepted belongs to no file.
    theirs[INODE] != "0" && ours[QUEUES].starts_with(EMPTY) && theirs[QUEUES].ends_with(EMPTY)
}

/// The fields of a socket behind its addresses. The table may have thousands of lines, so it is not taken apart.
fn entry(table: &str, local: SocketAddrV4, remote: SocketAddrV4) -> Option<Vec<&str>> {
    let [local, remote] =
        [local, remote].map(|it| format!("{:08X}:{:04X}", u32::from_ne_bytes(it.ip().octets()), it.port()));
    let (_, rest) = table.split_once(&format!(" {local} {remote} "))?;
    Some(rest.lines().next()?.split_whitespace().collect())
}

const QUEUES: usize = 1;
const INODE: usize = 6;
const EMPTY: &str = "00000000";
