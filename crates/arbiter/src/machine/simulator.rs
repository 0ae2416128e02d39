//! A world for the machine: a virtual clock, workers that boot, beat, serve, hang and die, and a kernel with queues,
//! handshakes and gates. Random schedules run in it, and after every step the rules that must always hold are checked.
//! A failure prints the seed that brings it back.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use arbtest::arbitrary::{Result, Unstructured};
use arbtest::arbtest;

use super::drain::AFTERGLOW;
use super::*;
use crate::page::DoorPhase;

const MS: Duration = Duration::from_millis(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Boot { ready_at: Instant, fails: bool },
    Idle,
    Serve { until: Instant },
    Hang,
}

struct Fake {
    deed: Deed,
    stage: Stage,
    beat: Instant,
    aborted_at: Option<Instant>,
    ordered_to_quit_at: Option<Instant>,
    reported: bool,
}

struct World {
    now: Instant,
    machine: Machine,
    workers: BTreeMap<SlotId, Fake>,
    door: DoorPhase,
    gate_shut: bool,
    closed: bool,
    queue: u32,
    handshakes: Vec<Instant>,
    retries: Vec<Instant>,
    drops: u32,
    frozen: Duration,
    served: u64,
    lost: u64,
    refused: u64,
    halted: Option<Exit>,
    term: Option<Instant>,
    quit: bool,
    hurry: bool,
    /// A successor holds the listener, too.
    others: bool,
    /// When the last worker in a slot died that was not ready yet.
    unready: BTreeMap<SlotId, Instant>,
    deadline_passed: bool,
    swept: bool,
    /// The machine is out of processes.
    spawns_fail: bool,
    /// How many workers the settings say when they are read again.
    wanted: u16,
    round_trip: Duration,
    handler: Duration,
    timeout: Option<Duration>,
}

#[test]
fn whatever_happens_the_rules_hold() {
    arbtest(|u| {
        let mut world = World::new(u)?;
        let steps = u.int_in_range(50..=400)?;
        world.tell(Event::Tick);
        for _ in 0..steps {
            world.chance(u)?;
            world.pass(u.int_in_range(1..=40)? * MS);
            if world.halted.is_some() {
                return Ok(());
            }
        }
        // Whatever came before, a stop comes to its end.
        world.signal(Sig::Term);
        let limit = world.now + Duration::from_secs(60);
        while world.halted.is_none() {
            world.pass(20 * MS);
            assert!(world.now < limit, "the stop never ends: {:?}", world.machine.mode);
        }
        Ok(())
    })
    .budget_ms(1_000);
}

/// No worker dies, nobody sends a quick stop, and the load stays below what can be served: then nobody is lost.
#[test]
fn a_drain_in_good_order_loses_nobody() {
    arbtest(|u| {
        let mut world = World::new(u)?;
        world.machine.rules.timeout = None;
        world.machine.rules.drain.get_or_insert_with(DrainSettings::default);
        world.handler = u.int_in_range(0..=20)? * MS;
        let every = u.int_in_range(30..=200)?;
        world.tell(Event::Tick);
        while world.machine.mode == Mode::Starting {
            world.pass(5 * MS);
        }
        let (term, until) = (u.int_in_range(0..=100)?, u.int_in_range(100..=900)?);
        for tick in 0.. {
            if tick == term {
                world.signal(Sig::Term);
            }
            if tick <= until && tick % (every / 5).max(1) == 0 {
                world.connect();
            }
            world.pass(5 * MS);
            if world.halted.is_some() {
                break;
            }
        }
        assert_eq!(world.lost, 0, "at {:?} after SIGTERM", world.now - world.term.unwrap());
        Ok(())
    })
    .budget_ms(1_000);
}

impl World {
    fn new(u: &mut Unstructured<'_>) -> Result<Self> {
        #[expect(clippy::disallowed_methods, reason = "any moment will do for a beginning")]
        let now = Instant::now();
        let timeout = if u.arbitrary()? { Some(Duration::from_secs(u.int_in_range(1..=5)?)) } else { None };
        let drain = DrainSettings { quiet: u.int_in_range(0..=1000)? * MS, open: u.int_in_range(0..=5000)? * MS };
        let rules = Rules {
            workers: u.int_in_range(1..=4)?,
            timeout,
            graceful_timeout: Duration::from_secs(u.int_in_range(4..=20)?),
            drain: u.ratio(4, 5)?.then_some(drain),
            reload_step: u.int_in_range(0..=2)?,
        };
        Ok(Self {
            now,
            machine: Machine::new(rules, [Post { one_way: false, group: ListenerId(0), seat: None }], now),
            workers: BTreeMap::new(),
            door: DoorPhase::Bound,
            gate_shut: false,
            closed: false,
            queue: 0,
            handshakes: Vec::new(),
            retries: Vec::new(),
            drops: 0,
            frozen: Duration::ZERO,
            served: 0,
            lost: 0,
            refused: 0,
            halted: None,
            term: None,
            quit: false,
            hurry: false,
            others: false,
            unready: BTreeMap::new(),
            deadline_passed: false,
            swept: false,
            spawns_fail: false,
            wanted: 1,
            round_trip: u.int_in_range(0..=300)? * MS,
            handler: u.int_in_range(0..=200)? * MS,
            timeout,
        })
    }

    /// Something that nobody planned.
    fn chance(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let slots: Vec<SlotId> = self.workers.keys().copied().collect();
        match u.int_in_range(0..=40)? {
            0 if !slots.is_empty() => self.exit(*u.choose(&slots)?, Death::Signal(9)),
            1 if !slots.is_empty() => {
                let reason = if u.arbitrary()? { Leave::Signal } else { Leave::MaxRequests };
                self.tell(Event::LeaveRequested(*u.choose(&slots)?, reason));
            }
            2 => self.signal(Sig::TtIn),
            3 => self.signal(Sig::TtOu),
            4 => {
                self.wanted = u.int_in_range(1..=4)?;
                self.signal(Sig::Hup);
            }
            5 if u.ratio(1, 8)? => self.signal(Sig::Term),
            6 if u.ratio(1, 40)? => self.signal(if u.arbitrary()? { Sig::Int } else { Sig::Quit }),
            6 if self.quit => self.signal(Sig::Int),
            29 => self.others = false,
            28 if u.ratio(1, 8)? => self.signal(Sig::Usr2),
            7 if !slots.is_empty() => {
                if let Some(worker) = self.workers.get_mut(u.choose(&slots)?)
                    && worker.deed == Deed::Idle
                {
                    worker.deed = Deed::Hang;
                }
            }
            8 if !slots.is_empty() && self.machine.mode != Mode::Starting => {
                if let Some(worker) = self.workers.get_mut(u.choose(&slots)?)
                    && let Deed::Boot { ready_at, .. } = worker.deed
                {
                    worker.deed = Deed::Boot { ready_at, fails: true };
                }
            }
            9 => self.spawns_fail = u.arbitrary()?,
            10..=25 => self.connect(),
            26 if u.ratio(1, 4)? => self.freeze(u.int_in_range(1..=20_000)? * MS),
            27 => self.signal(Sig::Usr1),
            _ => {}
        }
        Ok(())
    }

    fn signal(&mut self, sig: Sig) {
        if sig == Sig::Term && self.term.is_none() {
            self.term = Some(self.now);
        }
        self.hurry |= self.machine.mode == Mode::Quitting && matches!(sig, Sig::Int | Sig::Quit);
        self.quit |= matches!(sig, Sig::Int | Sig::Quit);
        let others = if self.others { vec![ListenerId(0)] } else { Vec::new() };
        self.tell(Event::OthersHold(others));
        self.tell(Event::Signal(sig));
    }

    /// All processes are stopped, and go on.
    fn freeze(&mut self, time: Duration) {
        self.now += time;
        for worker in self.workers.values_mut() {
            worker.beat += time;
        }
        // It lengthens a stop as well.
        self.frozen += time;
        self.tell(Event::Late(time));
    }

    fn connect(&mut self) {
        if self.closed || self.door == DoorPhase::Bound {
            self.refused += 1;
        } else if self.gate_shut {
            self.drops += 1;
            self.retries.push(self.now + 1000 * MS);
        } else {
            self.handshakes.push(self.now + self.round_trip);
        }
    }

    /// Lets time pass: the kernel, the clients and the workers do what they do.
    fn pass(&mut self, time: Duration) {
        self.now += time;
        let now = self.now;
        let arrived = self.handshakes.iter().filter(|at| **at <= now).count();
        self.handshakes.retain(|at| *at > now);
        if self.closed {
            self.lost += arrived as u64;
        } else {
            self.queue += arrived as u32;
        }
        let again = self.retries.iter().filter(|at| **at <= now).count();
        self.retries.retain(|at| *at > now);
        (0..again).for_each(|_| self.connect());
        for slot in self.workers.keys().copied().collect::<Vec<_>>() {
            self.live(slot);
        }
        if self.machine.wants_readings().is_some() {
            let holders = self.workers.values().filter(|_| !self.swept || self.door != DoorPhase::Sweep).count();
            let reading = Reading {
                queue: self.queue,
                handshakes: self.handshakes.len() as u32,
                drops: self.drops,
                arrivals: self.served,
                holders: holders as u32,
            };
            self.tell(Event::Readings { served: self.served, readings: vec![reading] });
        }
        self.tell(Event::Tick);
    }

    fn live(&mut self, slot: SlotId) {
        let now = self.now;
        let Some(worker) = self.workers.get_mut(&slot) else { return };
        let dead_by_signal = worker.aborted_at.is_some();
        if dead_by_signal {
            return self.exit(slot, Death::Signal(6));
        }
        match worker.deed {
            Deed::Hang => return,
            Deed::Boot { ready_at, .. } if now < ready_at => return,
            Deed::Boot { fails: true, .. } => return self.exit(slot, Death::Code(3)),
            Deed::Boot { .. } => worker.deed = Deed::Idle,
            Deed::Serve { until } if now < until => return,
            Deed::Serve { .. } => worker.deed = Deed::Idle,
            Deed::Idle => {}
        }
        worker.beat = now;
        let (stage, first) = (worker.stage, !std::mem::replace(&mut worker.reported, true));
        let may_accept = stage < Stage::Leave
            && match self.door {
                DoorPhase::Open | DoorPhase::Draining | DoorPhase::Gated | DoorPhase::Sweep => true,
                DoorPhase::Bound | DoorPhase::Closed => false,
            };
        if may_accept && self.queue > 0 && stage != Stage::Quit {
            self.queue -= 1;
            self.served += 1;
            worker.deed = Deed::Serve { until: now + self.handler };
        }
        if self.door == DoorPhase::Sweep && self.queue == 0 {
            self.swept = true;
        }
        if first {
            self.tell(Event::Ready(slot));
        }
        self.tell(Event::Beat(slot, now));
        let idle = self.workers.get(&slot).is_some_and(|worker| worker.deed == Deed::Idle);
        let done = stage == Stage::Drain && self.door == DoorPhase::Closed || stage == Stage::Leave;
        if idle && done || stage == Stage::Quit {
            self.exit(slot, Death::Code(0));
        }
    }

    fn exit(&mut self, slot: SlotId, death: Death) {
        if let Some(fake) = self.workers.remove(&slot) {
            if matches!(fake.deed, Deed::Boot { .. }) && fake.stage == Stage::Serve && fake.aborted_at.is_none() {
                self.unready.insert(slot, self.now);
            }
            self.tell(Event::Exited(slot, death));
        }
    }

    fn tell(&mut self, event: Event) {
        if self.halted.is_some() {
            return;
        }
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let mut actions = Vec::new();
            self.machine.on(self.now, event, &mut actions);
            for action in actions {
                match action {
                    Action::Spawn(slot) => {
                        if self.spawns_fail {
                            events.push(Event::SpawnFailed(slot));
                        } else {
                            self.obey(Action::Spawn(slot));
                        }
                    }
                    Action::Reread => {
                        self.unready.clear();
                        let rules = Rules { workers: self.wanted, ..self.machine.rules.clone() };
                        events.push(Event::Reloaded(Reload { rules, added: Vec::new(), removed: Vec::new() }));
                    }
                    action => self.obey(action),
                }
            }
        }
        assert!(self.machine.next_deadline().is_none_or(|at| at < self.now + Duration::from_secs(3600)));
    }

    fn obey(&mut self, action: Action) {
        assert_eq!(self.halted, None, "{action:?} after the end");
        match action {
            Action::Spawn(slot) => {
                if let Some(died) = self.unready.remove(&slot) {
                    assert!(self.now >= died + 1000 * MS, "a worker that could not boot is tried again at once");
                }
                assert!(!self.closed, "a worker is started though there is nothing to accept from");
                let deed = Deed::Boot { ready_at: self.now + 30 * MS, fails: false };
                let fake = Fake {
                    deed,
                    stage: Stage::Serve,
                    beat: self.now,
                    aborted_at: None,
                    ordered_to_quit_at: None,
                    reported: false,
                };
                assert!(self.workers.insert(slot, fake).is_none(), "two workers in one slot");
                assert!(self.workers.len() < 64, "a fork storm");
            }
            Action::Order(slot, stage, _) => {
                if stage == Stage::Leave && self.machine.mode == Mode::Serving && self.workers[&slot].reported {
                    let others = self.workers.iter().filter(|(other, fake)| {
                        **other != slot && fake.reported && fake.stage == Stage::Serve && fake.aborted_at.is_none()
                    });
                    let wanted = usize::from(self.machine.rules.workers);
                    let others = others.count();
                    let lives: Vec<_> = self.machine.tenants().map(|(s, t)| (s, t.age, t.life)).collect();
                    assert!(others >= wanted, "{slot:?} is sent away before enough others serve: {lives:?}");
                }
                if let Some(worker) = self.workers.get_mut(&slot) {
                    worker.stage = worker.stage.max(stage);
                    if stage == Stage::Quit {
                        worker.ordered_to_quit_at.get_or_insert(self.now);
                    }
                }
            }
            Action::Kill(slot, Kill::Abort) => {
                let worker = self.workers.get_mut(&slot).expect("only the living are killed");
                let timeout = self.timeout.expect("nobody is stuck without a timeout");
                assert!(self.now >= worker.beat + timeout, "it had beaten in time");
                worker.aborted_at = Some(self.now);
            }
            Action::Kill(slot, Kill::Kill) => {
                let worker = &self.workers[&slot];
                let warned = worker.aborted_at.or(worker.ordered_to_quit_at).expect("nobody is killed unwarned");
                assert!(self.hurry || self.now >= warned + QUIT_GRACE, "killed before its time");
                self.exit(slot, Death::Signal(9));
            }
            Action::Listen(_) => assert_eq!(self.door, DoorPhase::Bound),
            Action::SetDoor(_, phase) => {
                if phase == DoorPhase::Sweep {
                    assert!(self.gate_shut, "the last sweep comes behind the gate");
                }
                self.door = phase;
            }
            Action::ReopenLogs => {}
            Action::Upgrade => self.others = true,
            Action::Reread => unreachable!("taken by the loop, and asked for by nobody"),
            Action::Shut(_) => self.gate_shut = true,
            Action::Lift(_) => {
                assert!(!self.closed);
                self.gate_shut = false;
            }
            Action::Close(_) => {
                assert!(!self.closed, "closed twice");
                self.closed = true;
                self.lost += u64::from(std::mem::take(&mut self.queue)) + self.handshakes.drain(..).count() as u64;
            }
            Action::Say(Notice::Deadline(_)) => self.deadline_passed = true,
            Action::Say(_) => {}
            Action::Halt(exit) => {
                assert!(self.workers.is_empty(), "it ends with workers left");
                assert!(self.closed, "it ends with an open door");
                if let Some(term) = self.term {
                    let limit = self.machine.rules.graceful_timeout + QUIT_GRACE + AFTERGLOW + 100 * MS + self.frozen;
                    assert!(self.now <= term + limit, "a second SIGTERM, or anything else, lengthened the stop");
                }
                self.halted = Some(exit);
            }
        }
    }
}
