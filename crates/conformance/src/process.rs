//! What `/proc` tells of the processes of a server and of its connections.

use std::{
    fs,
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use nix::unistd::Pid;

/// The live (not zombie) children of `parent`, lowest pid first.
pub(crate) fn children(parent: Pid) -> Vec<Pid> {
    live(|stat| stat.parent == parent.as_raw())
}

/// The live processes of a process group.
pub(crate) fn group(group: Pid) -> Vec<Pid> {
    live(|stat| stat.group == group.as_raw())
}

/// Whether the process has been stopped by a signal.
pub(crate) fn stopped(pid: Pid) -> bool {
    stat(pid.as_raw()).is_some_and(|stat| stat.state == 'T')
}

/// Whether the server's side of this TCP connection (over IPv4) has been accepted, and all that was sent to it has been
/// read: proc(5)'s `/proc/net/tcp`.
pub(crate) fn is_read(client: SocketAddr, server: SocketAddr) -> bool {
    // In this order, each in a look of its own: a queue is empty before the bytes come as well.
    let has_come = connection(client, server).is_some_and(|it| it.unacknowledged == 0);
    has_come && connection(server, client).is_some_and(|it| it.accepted && it.unread == 0)
}

/// One side of a TCP connection.
struct Side {
    /// One that waits in the backlog has no inode yet.
    accepted: bool,
    unacknowledged: u32,
    unread: u32,
}

fn connection(local: SocketAddr, remote: SocketAddr) -> Option<Side> {
    // It may have tens of thousands of lines, so it is not taken apart.
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    let (_, rest) = table.split_once(&format!(" {} {} ", in_hex(local), in_hex(remote)))?;
    let fields: Vec<&str> = rest.lines().next()?.split_whitespace().collect();
    let [_, queues, _, _, _, _, inode, ..] = fields[..] else { return None };
    let (sending, receiving) = queues.split_once(':')?;
    let number = |queue| u32::from_str_radix(queue, 16).ok();
    Some(Side { accepted: inode != "0", unacknowledged: number(sending)?, unread: number(receiving)? })
}

/// Looks at `condition` again and again until it holds or `bound` is over; tells whether it came to hold.
pub(crate) fn wait_until(bound: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + bound;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

struct Stat {
    state: char,
    parent: i32,
    group: i32,
}

fn live(wanted: impl Fn(&Stat) -> bool) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let mut found: Vec<Pid> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|&pid| stat(pid).is_some_and(|stat| stat.state != 'Z' && wanted(&stat)))
        .map(Pid::from_raw)
        .collect();
    found.sort();
    found
}

/// Reads `/proc/PID/stat`; the command name may hold spaces and parentheses, so that fields are counted from the last
/// `)` (proc_pid_stat(5)).
fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    Some(Stat {
        state: fields.next()?.chars().next()?,
        parent: fields.next()?.parse().ok()?,
        group: fields.next()?.parse().ok()?,
    })
}

fn in_hex(address: SocketAddr) -> String {
    match address {
        // The kernel prints the address as a number in the machine's order.
        SocketAddr::V4(v4) => format!("{:08X}:{:04X}", u32::from_ne_bytes(v4.ip().octets()), v4.port()),
        SocketAddr::V6(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::{TcpListener, TcpStream},
    };

    use super::*;

    #[test]
    fn a_connection_is_read_once_it_is_accepted_and_its_bytes_are_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap();
        let mut stream = TcpStream::connect(server).unwrap();
        let client = stream.local_addr().unwrap();
        stream.write_all(b"x").unwrap();
        assert!(!is_read(client, server), "it waits in the backlog");
        let (mut accepted, _) = listener.accept().unwrap();
        assert!(!is_read(client, server), "its byte has not been read");
        accepted.read_exact(&mut [0]).unwrap();
        assert!(is_read(client, server));
    }

    #[test]
    fn this_process_is_in_its_group() {
        assert!(group(nix::unistd::getpgrp()).contains(&Pid::this()));
    }
}
