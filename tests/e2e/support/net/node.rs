//! Pods: servers in network namespaces of their own, on wires to a node, where the clients are.

use std::{
    env,
    net::{Ipv4Addr, SocketAddr},
    panic::resume_unwind,
    thread,
};

use nix::{
    sched::{CloneFlags, unshare},
    unistd::{Pid, geteuid, gettid},
};

use super::ip;
use crate::support::{Builder, Server, Target, skip};

/// Runs `test` on a node in a network namespace of its own, which vanishes with it. Where the machine does not allow
/// that, it prints why and returns; with `E2E_REQUIRE_TUN` set it panics.
pub(crate) fn on_own_node(test: impl FnOnce(Node) + Send + 'static) {
    let thread = thread::spawn(|| match Node::in_new_namespace() {
        Ok(node) => {
            test(node);
            None
        }
        Err(why) if env::var_os("E2E_REQUIRE_TUN").is_some() => panic!("no network of our own: {why}"),
        Err(why) => Some(why),
    });
    match thread.join() {
        Ok(None) => {}
        Ok(Some(why)) => skip(&why),
        Err(panic) => resume_unwind(panic),
    }
}

/// What the pods are connected to. Loads that this thread starts are on the node.
pub(crate) struct Node {
    thread: Pid,
    pods: u8,
}

impl Node {
    fn in_new_namespace() -> Result<Self, String> {
        if !geteuid().is_root() {
            return Err("a network namespace takes root".into());
        }
        unshare(CloneFlags::CLONE_NEWNET).map_err(|error| format!("unshare: {error}"))?;
        ip("link set lo up")?;
        ip("link add probe type veth peer name eborp").map_err(|why| format!("no pair of virtual devices: {why}"))?;
        ip("link del probe")?;
        Ok(Self { thread: gettid(), pods: 0 })
    }

    /// Starts a server in a pod, at an address that leads nowhere once the server has ended.
    pub(crate) fn start(&mut self, builder: Builder) -> Server {
        self.pods += 1;
        let (pod, node) = (self.pods, self.thread);
        let address = SocketAddr::from((Ipv4Addr::new(10, 77, pod, 2), 8000));
        let builder = builder.address("0.0.0.0:8000", Target::Tcp(address));
        // The namespace of a process is that of the thread which has started it.
        let in_pod = thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).expect("the node has one, too");
            for arguments in [
                "link set lo up",
                &format!("link add eth0 type veth peer name pod{pod} netns {node}"),
                &format!("addr add 10.77.{pod}.2/30 dev eth0"),
                "link set eth0 up",
                &format!("route add default via 10.77.{pod}.1"),
            ] {
                ip(arguments).expect("a wire can be laid");
            }
            builder.start()
        });
        let server = in_pod.join().expect("the pod starts");
        for arguments in [format!("addr add 10.77.{pod}.1/30 dev pod{pod}"), format!("link set pod{pod} up")] {
            ip(&arguments).expect("a wire can be laid");
        }
        server
    }
}
