use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use super::*;

fn loopback() -> Listener {
    let listener =
        Listener::bind(&"127.0.0.1:0".parse().unwrap(), &Settings::default(), &mut Vec::new()).unwrap().remove(0);
    listener.listen(16).unwrap();
    listener
}

fn connects_within(listener: &Listener, limit: Duration) -> bool {
    TcpStream::connect_timeout(&listener.tcp().unwrap(), limit).is_ok()
}

/// Whatever this test runs as: root takes the filter, others the TTL option, and then each is tried by hand.
#[test]
fn a_gate_left_by_a_former_life_is_lifted_when_the_listener_is_adopted() {
    let listener = loopback();
    listener.shut().unwrap();
    assert!(!connects_within(&listener, Duration::from_millis(100)), "the gate holds");
    let adopted = Listener::adopt(listener.socket.try_clone().unwrap(), Giver::Systemd).unwrap();
    assert!(connects_within(&adopted, Duration::from_secs(3)));
}

#[test]
fn the_ttl_option_holds_off_a_handshake_and_is_seen_in_the_drops() {
    let listener = loopback();
    let before = listener.drops().unwrap();
    gate::shut_with_ttl(&listener.socket, listener.tcp().unwrap()).unwrap();
    assert!(!connects_within(&listener, Duration::from_millis(100)));
    assert!(listener.drops().unwrap() > before);
    listener.lift().unwrap();
    assert!(connects_within(&listener, Duration::from_secs(3)));
}

#[test]
fn the_queue_is_counted_and_survives_the_gate() {
    let listener = loopback();
    let clients: Vec<_> = (0..3).map(|_| TcpStream::connect(listener.tcp().unwrap()).unwrap()).collect();
    listener.shut().unwrap();
    assert_eq!(listener.queue().unwrap(), Some(3));
    for _ in &clients {
        assert!(crate::sys::accept(&listener.socket).unwrap().is_some());
    }
    assert_eq!(listener.queue().unwrap(), Some(0));
}

#[test]
fn a_dual_stack_listener_is_gated_for_both_families() {
    let listener = Listener::bind(&"[::]:0".parse().unwrap(), &Settings::default(), &mut Vec::new()).unwrap().remove(0);
    listener.listen(16).unwrap();
    let port = listener.tcp().unwrap().port();
    let addresses: [SocketAddr; 2] = [([127, 0, 0, 1], port).into(), ([0, 0, 0, 0, 0, 0, 0, 1], port).into()];
    gate::shut_with_ttl(&listener.socket, listener.tcp().unwrap()).unwrap();
    for address in addresses {
        assert!(TcpStream::connect_timeout(&address, Duration::from_millis(100)).is_err(), "{address}");
    }
    listener.lift().unwrap();
    for address in addresses {
        assert!(TcpStream::connect_timeout(&address, Duration::from_secs(3)).is_ok(), "{address}");
    }
}

#[test]
fn a_unix_socket_refuses_once_shut_and_still_gives_out_its_queue() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sock");
    let listener = Listener::bind(&Bind::Unix(path.clone()), &Settings::default(), &mut Vec::new()).unwrap().remove(0);
    listener.listen(16).unwrap();
    let mut queued = UnixStream::connect(&path).unwrap();
    queued.write_all(b"hi").unwrap();
    assert_eq!(listener.shut().unwrap(), Gate::Shutdown);
    assert_eq!(UnixStream::connect(&path).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    let (mut accepted, _) = crate::sys::accept(&listener.socket).unwrap().unwrap();
    let mut bytes = [0; 2];
    accepted.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"hi");
    assert!(crate::sys::accept(&listener.socket).unwrap().is_none());
    drop(listener);
    assert!(!path.exists(), "it is unlinked");
}

#[test]
fn a_live_unix_socket_is_never_unlinked_a_stale_one_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sock");
    let bind = Bind::Unix(path.clone());
    let live = UnixListener::bind(&path).unwrap();
    assert!(matches!(Listener::bind(&bind, &Settings::default(), &mut Vec::new()), Err(Error::SocketInUse(_))));
    drop(live);
    assert!(path.exists(), "it is stale now");
    drop(Listener::bind(&bind, &Settings::default(), &mut Vec::new()).unwrap());
    fs::write(&path, "text").unwrap();
    assert!(matches!(Listener::bind(&bind, &Settings::default(), &mut Vec::new()), Err(Error::NotASocket(_))));
    assert_eq!(fs::read_to_string(&path).unwrap(), "text");
}

#[test]
fn errors_name_the_address_the_cause_and_the_way_out() {
    let taken = loopback();
    let bind = Bind::Tcp { host: "127.0.0.1".into(), port: taken.tcp().unwrap().port() };
    let Err(error) = Listener::bind(&bind, &Settings::default(), &mut Vec::new()) else { panic!("the port is taken") };
    assert_eq!(
        error.to_string(),
        format!(
            "cannot bind {bind}: address already in use; stop the program that uses it, or choose another with --bind"
        ),
    );
}
