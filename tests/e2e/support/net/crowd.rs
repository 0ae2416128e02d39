//! Many simulated clients behind one TUN device, a given round trip away from the server.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{Segment, Tun, guest::Guest, guest::Step};
use crate::support::{Tally, http::closing_request};

const FIRST_PORT: u16 = 1_024;

/// How a crowd behaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manners {
    /// New connections a second, evenly; less if the machine cannot keep up.
    pub(crate) rate: f64,
    /// How long a segment and its answer travel, together.
    pub(crate) round_trip: Duration,
    /// How long each client waits between its handshake and its request.
    pub(crate) pause: Duration,
}

/// A running crowd.
pub(crate) struct Crowd {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<(Tun, Tally)>>,
}

impl Crowd {
    /// Clients begin to come, each asking `server` for `path` once.
    pub(crate) fn start(mut tun: Tun, server: SocketAddr, path: &str, manners: Manners) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let host = tun.new_host(server.ip());
        let sim = Simulation {
            tun,
            host,
            server,
            request: closing_request(path),
            manners,
            guests: Vec::new(),
            agenda: BinaryHeap::new(),
            entries: 0,
            travelling: 0,
        };
        let told = stop.clone();
        Self { stop, thread: Some(thread::spawn(move || sim.run(&told))) }
    }

    /// No more clients come; waits for what becomes of those there are.
    pub(crate) fn stop(mut self) -> (Tun, Tally) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().expect("stopped once").join().expect("the crowd does not panic")
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

struct Simulation {
    tun: Tun,
    host: IpAddr,
    server: SocketAddr,
    request: String,
    manners: Manners,
    guests: Vec<Guest>,
    agenda: BinaryHeap<Reverse<Entry>>,
    entries: u64,
    /// How many segments are on their way.
    travelling: usize,
}

/// What is to happen at a time; among things of one time the earlier entry comes first, so that segments keep their
/// order.
struct Entry {
    at: Instant,
    number: u64,
    what: What,
}

enum What {
    NextGuest,
    Wake(usize),
    ReachServer(Segment),
    ReachGuest(Segment),
}

impl Simulation {
    fn run(mut self, stop: &AtomicBool) -> (Tun, Tally) {
        self.plan(Instant::now(), What::NextGuest);
        loop {
            let stopping = stop.load(Ordering::Relaxed);
            if stopping && self.travelling == 0 && self.guests.iter().all(|guest| guest.exchange().is_some()) {
                let exchanges = self.guests.iter().filter_map(Guest::exchange).collect();
                return (self.tun, Tally(exchanges));
            }
            // One at a time: who has much to send listens all the same.
            if self.agenda.peek().is_some_and(|Reverse(entry)| entry.at <= Instant::now())
                && let Some(Reverse(entry)) = self.agenda.pop()
            {
                self.happen(entry, stopping);
            }
            let next = self.agenda.peek().map(|Reverse(entry)| entry.at.saturating_duration_since(Instant::now()));
            // The bound makes sure that the order to stop is seen.
            let bound = next.unwrap_or(Duration::MAX).min(Duration::from_millis(50));
            if let Some(segment) = self.tun.receive(bound) {
                self.travel(What::ReachGuest(segment));
            }
        }
    }

    fn happen(&mut self, entry: Entry, stopping: bool) {
        let now = Instant::now();
        match entry.what {
            What::NextGuest if stopping => {}
            What::NextGuest => {
                let number = self.guests.len();
                let port = FIRST_PORT + u16::try_from(number).expect("a crowd is smaller than the range of ports");
                let local = SocketAddr::new(self.host, port);
                self.guests.push(Guest::new(local, self.server, &self.request, self.manners.pause, now));
                let step = self.guests[number].on_time(now);
                self.carry_out(number, step);
                // From now, not from when it was due: after a halt nobody storms the server to catch up.
                self.plan(now + Duration::from_secs_f64(1.0 / self.manners.rate), What::NextGuest);
            }
            What::Wake(number) => {
                let step = self.guests[number].on_time(now);
                // A wake-up that comes for nothing changes nothing and must not breed others.
                if !step.send.is_empty() {
                    self.carry_out(number, step);
                }
            }
            What::ReachServer(segment) => {
                self.travelling -= 1;
                self.tun.send(&segment.packet());
                if segment.syn
                    && let Some(number) = self.guest_at(segment.from)
                {
                    self.guests[number].has_knocked(Instant::now());
                }
            }
            What::ReachGuest(segment) => {
                self.travelling -= 1;
                if let Some(number) = self.guest_at(segment.to) {
                    let step = self.guests[number].on_segment(&segment, now);
                    self.carry_out(number, step);
                }
            }
        }
    }

    fn guest_at(&self, address: SocketAddr) -> Option<usize> {
        let number = address.port().checked_sub(FIRST_PORT).map(usize::from);
        number.filter(|&number| address.ip() == self.host && number < self.guests.len())
    }

    fn carry_out(&mut self, number: usize, step: Step) {
        for segment in step.send {
            self.travel(What::ReachServer(segment));
        }
        if let Some(wake) = step.wake {
            self.plan(wake, What::Wake(number));
        }
    }

    fn travel(&mut self, arrival: What) {
        self.travelling += 1;
        self.plan(Instant::now() + self.manners.round_trip / 2, arrival);
    }

    fn plan(&mut self, at: Instant, what: What) {
        self.entries += 1;
        self.agenda.push(Reverse(Entry { at, number: self.entries, what }));
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Entry {}
