//! Transcripts: what happened, and what the machine said to do.

mod deaths;
mod reload;
mod seats;
mod signals;

use std::time::{Duration, Instant};

use expect_test::{Expect, expect};

use super::*;

/// A machine, its time in milliseconds, and all that it has said.
struct Script {
    start: Instant,
    machine: Machine,
    lines: String,
}

impl Script {
    fn new(workers: u16, drain: Option<DrainSettings>) -> Self {
        #[expect(clippy::disallowed_methods, reason = "any moment will do for a beginning")]
        let start = Instant::now();
        let rules = Rules {
            workers,
            timeout: Some(Duration::from_secs(30)),
            graceful_timeout: Duration::from_secs(30),
            drain,
            reload_step: 0,
        };
        let machine = Machine::new(rules, [post(0, None)], start);
        Self { start, machine, lines: String::new() }
    }

    fn at(&mut self, ms: u64, event: Event) -> &mut Self {
        let (now, mut actions) = (self.start + Duration::from_millis(ms), Vec::new());
        let told = match &event {
            Event::Readings { served, readings } => format!("served {served}, {:?}", readings[0]),
            event => format!("{event:?}"),
        };
        self.machine.on(now, event, &mut actions);
        if !actions.is_empty() {
            self.lines += &format!("{ms} ms: {told}\n");
        }
        for action in actions {
            let text = match action {
                Action::Order(slot, stage, until) => format!("Order({slot:?}, {stage:?}, {:?})", until - self.start),
                action => format!("{action:?}"),
            };
            self.lines += &format!("    {text}\n");
        }
        self
    }

    fn serving(workers: u16, drain: Option<DrainSettings>) -> Self {
        let mut script = Self::new(workers, drain);
        script.at(0, Event::Tick);
        for slot in 0..workers {
            script.at(10, Event::Ready(SlotId(slot)));
        }
        script.lines.clear();
        script
    }

    /// One reading; the workers have let go of the listener if `swept`.
    fn reading(&mut self, ms: u64, reading: Reading) -> &mut Self {
        self.at(ms, Event::Readings { served: reading.arrivals, readings: vec![reading] })
    }

    fn said(&self, expected: Expect) {
        expected.assert_eq(&self.lines);
    }
}

fn post(group: u16, seat: Option<u16>) -> Post {
    Post { one_way: false, group: ListenerId(group), seat }
}

fn drain() -> Option<DrainSettings> {
    Some(DrainSettings { quiet: Duration::from_secs(1), open: Duration::from_secs(10) })
}

fn empty() -> Reading {
    Reading { holders: 1, ..Reading::default() }
}

#[test]
fn it_listens_when_the_first_worker_is_ready() {
    let mut script = Script::new(2, None);
    script.at(0, Event::Tick).at(10, Event::Ready(SlotId(1))).at(11, Event::Ready(SlotId(0)));
    script.said(expect![[r#"
        0 ms: Tick
            Spawn(SlotId(0))
            Spawn(SlotId(1))
        10 ms: Ready(SlotId(1))
            Listen(ListenerId(0))
            SetDoor(ListenerId(0), Open)
            Say(Serving)
    "#]]);
}

#[test]
fn a_quiet_drain_gates_sweeps_and_closes() {
    let mut script = Script::serving(1, drain());
    script.at(100, Event::Signal(Sig::Term));
    for ms in (110..=1160).step_by(10) {
        script.reading(ms, empty());
    }
    script.reading(1170, Reading { holders: 0, ..empty() }).at(1180, Event::Exited(SlotId(0), Death::Code(0)));
    script.said(expect![[r#"
        100 ms: Signal(Term)
            SetDoor(ListenerId(0), Draining)
            Order(SlotId(0), Drain, 30.1s)
            Say(Draining)
        1100 ms: served 0, Reading { queue: 0, handshakes: 0, drops: 0, arrivals: 0, holders: 1 }
            SetDoor(ListenerId(0), Gated)
            Shut(ListenerId(0))
            Say(GateShut(ListenerId(0), false))
        1120 ms: served 0, Reading { queue: 0, handshakes: 0, drops: 0, arrivals: 0, holders: 1 }
            SetDoor(ListenerId(0), Sweep)
        1170 ms: served 0, Reading { queue: 0, handshakes: 0, drops: 0, arrivals: 0, holders: 0 }
            SetDoor(ListenerId(0), Closed)
            Close(ListenerId(0))
        1180 ms: Exited(SlotId(0), Code(0))
            Halt(Ok)
    "#]]);
}

#[test]
fn somebody_who_knocks_is_let_in_and_then_held_off_once_more() {
    let mut script = Script::serving(1, drain());
    script.at(0, Event::Signal(Sig::Term));
    script.reading(1000, empty()).reading(1010, Reading { drops: 1, ..empty() });
    script.reading(1500, Reading { drops: 1, ..empty() }).reading(2100, Reading { drops: 1, arrivals: 1, ..empty() });
    script.reading(3100, Reading { drops: 1, arrivals: 1, ..empty() });
    script.reading(3110, Reading { drops: 1, arrivals: 1, ..empty() });
    script.reading(3120, Reading { drops: 1, arrivals: 1, ..empty() });
    script.said(expect![[r#"
        0 ms: Signal(Term)
            SetDoor(ListenerId(0), Draining)
            Order(SlotId(0), Drain, 30s)
            Say(Draining)
        1000 ms: served 0, Reading { queue: 0, handshakes: 0, drops: 0, arrivals: 0, holders: 1 }
            SetDoor(ListenerId(0), Gated)
            Shut(ListenerId(0))
            Say(GateShut(ListenerId(0), false))
        1010 ms: served 0, Reading { queue: 0, handshakes: 0, drops: 1, arrivals: 0, holders: 1 }
            Lift(ListenerId(0))
            SetDoor(ListenerId(0), Draining)
            Say(GateReopened(ListenerId(0)))
        3100 ms: served 1, Reading { queue: 0, handshakes: 0, drops: 1, arrivals: 1, holders: 1 }
            SetDoor(ListenerId(0), Gated)
            Shut(ListenerId(0))
            Say(GateShut(ListenerId(0), false))
        3120 ms: served 1, Reading { queue: 0, handshakes: 0, drops: 1, arrivals: 1, holders: 1 }
            SetDoor(ListenerId(0), Sweep)
    "#]]);
}

#[test]
fn under_unbroken_load_the_gate_shuts_for_good_when_the_queue_needs_what_is_left_of_the_time() {
    let slow = DrainSettings { quiet: Duration::from_secs(1), open: Duration::from_secs(60) };
    let mut script = Script::serving(1, Some(slow));
    script.at(0, Event::Signal(Sig::Term));
    // 40 served a second, and the queue grows by 60: at 1.5 times its length there are 2.25 s to keep for each.
    for second in 0..12_u32 {
        let (arrivals, queue) = (u64::from(40 * second), 60 + 60 * second);
        script.reading(u64::from(second) * 1000, Reading { arrivals, queue, drops: 5 * second, ..empty() });
    }
    script.said(expect![[r#"
        0 ms: Signal(Term)
            SetDoor(ListenerId(0), Draining)
            Order(SlotId(0), Drain, 30s)
            Say(Draining)
        8000 ms: served 320, Reading { queue: 540, handshakes: 0, drops: 40, arrivals: 320, holders: 1 }
            SetDoor(ListenerId(0), Gated)
            Shut(ListenerId(0))
            Say(GateShut(ListenerId(0), true))
    "#]]);
}

#[test]
fn a_half_open_handshake_holds_the_gate_for_three_seconds_and_no_longer() {
    let mut script = Script::serving(1, drain());
    script.at(0, Event::Signal(Sig::Term));
    let scanner = Reading { handshakes: 1, ..empty() };
    for ms in (1000..=4100).step_by(10) {
        script.reading(ms, scanner);
    }
    script.said(expect![[r#"
        0 ms: Signal(Term)
            SetDoor(ListenerId(0), Draining)
            Order(SlotId(0), Drain, 30s)
            Say(Draining)
        1000 ms: served 0, Reading { queue: 0, handshakes: 1, drops: 0, arrivals: 0, holders: 1 }
            SetDoor(ListenerId(0), Gated)
            Shut(ListenerId(0))
            Say(GateShut(ListenerId(0), false))
        4010 ms: served 0, Reading { queue: 0, handshakes: 1, drops: 0, arrivals: 0, holders: 1 }
            SetDoor(ListenerId(0), Sweep)
    "#]]);
}

#[test]
fn a_worker_that_dies_while_draining_is_replaced_until_the_door_is_swept() {
    let mut script = Script::serving(1, drain());
    script.at(5000, Event::Signal(Sig::Term)).at(5100, Event::Exited(SlotId(0), Death::Signal(9)));
    script.at(5200, Event::Ready(SlotId(0)));
    script.reading(6300, empty()).reading(6310, empty()).reading(6320, empty());
    script.at(6330, Event::Exited(SlotId(0), Death::Signal(9))).reading(6340, Reading { holders: 0, ..empty() });
    script.said(expect![[r#"
        5000 ms: Signal(Term)
            SetDoor(ListenerId(0), Draining)
            Order(SlotId(0), Drain, 35s)
            Say(Draining)
        5100 ms: Exited(SlotId(0), Signal(9))
            Say(Died(SlotId(0), Signal(9)))
            Spawn(SlotId(0))
            Order(SlotId(0), Drain, 35s)
        6300 ms: served 0, Reading { queue: 0, handshakes: 0, drops: 0, arrivals: 0, holders: 1 }
            SetDoor(ListenerId(0), Gated)
            Shut(ListenerId(0))
            Say(GateShut(ListenerId(0), false))
        6320 ms: served 0, Reading { queue: 0, handshakes: 0, drops: 0, arrivals: 0, holders: 1 }
            SetDoor(ListenerId(0), Sweep)
        6330 ms: Exited(SlotId(0), Signal(9))
            Say(Died(SlotId(0), Signal(9)))
        6340 ms: served 0, Reading { queue: 0, handshakes: 0, drops: 0, arrivals: 0, holders: 0 }
            SetDoor(ListenerId(0), Closed)
            Close(ListenerId(0))
            Halt(Ok)
    "#]]);
}

#[test]
fn the_deadline_cuts_and_then_kills() {
    let mut script = Script::serving(2, drain());
    let beat = script.start + Duration::from_secs(29);
    script.at(0, Event::Signal(Sig::Term)).at(1, Event::Signal(Sig::Term));
    script.at(29_000, Event::Beat(SlotId(0), beat)).at(29_000, Event::Beat(SlotId(1), beat));
    script.at(30_000, Event::Tick).at(30_050, Event::Exited(SlotId(0), Death::Code(0)));
    script.at(30_200, Event::Tick).at(30_201, Event::Exited(SlotId(1), Death::Signal(9)));
    script.said(expect![[r#"
        0 ms: Signal(Term)
            SetDoor(ListenerId(0), Draining)
            Order(SlotId(0), Drain, 30s)
            Order(SlotId(1), Drain, 30s)
            Say(Draining)
        1 ms: Signal(Term)
            Say(Ignored(Term))
        30000 ms: Tick
            Say(Deadline(2))
            SetDoor(ListenerId(0), Closed)
            Close(ListenerId(0))
            Order(SlotId(0), Quit, 30s)
            Order(SlotId(1), Quit, 30s)
        30200 ms: Tick
            Kill(SlotId(1), Kill)
        30201 ms: Exited(SlotId(1), Signal(9))
            Halt(Ok)
    "#]]);
}

#[test]
fn without_draining_the_door_closes_at_once() {
    let mut script = Script::serving(1, None);
    script.at(0, Event::Signal(Sig::Term)).at(50, Event::Exited(SlotId(0), Death::Code(0)));
    script.said(expect![[r#"
        0 ms: Signal(Term)
            SetDoor(ListenerId(0), Closed)
            Close(ListenerId(0))
            Order(SlotId(0), Leave, 30s)
            Say(Leaving)
        50 ms: Exited(SlotId(0), Code(0))
            Halt(Ok)
    "#]]);
}

#[test]
fn a_worker_that_cannot_boot_stops_the_start() {
    let mut script = Script::new(2, None);
    script.at(0, Event::Tick).at(5, Event::Exited(SlotId(0), Death::Code(4)));
    script.at(6, Event::Exited(SlotId(1), Death::Code(0)));
    script.said(expect![[r#"
        0 ms: Tick
            Spawn(SlotId(0))
            Spawn(SlotId(1))
        5 ms: Exited(SlotId(0), Code(4))
            Say(BootFailed(SlotId(0), Code(4)))
            SetDoor(ListenerId(0), Closed)
            Close(ListenerId(0))
            Order(SlotId(1), Quit, 5ms)
        6 ms: Exited(SlotId(1), Code(0))
            Halt(AppLoad)
    "#]]);
}

#[test]
fn a_stuck_worker_is_aborted_killed_and_replaced() {
    let mut script = Script::serving(1, None);
    script.at(30_010, Event::Tick).at(31_010, Event::Tick).at(31_011, Event::Exited(SlotId(0), Death::Signal(9)));
    script.said(expect![[r#"
        30010 ms: Tick
            Say(Stuck(SlotId(0)))
            Kill(SlotId(0), Abort)
            Spawn(SlotId(1))
        31010 ms: Tick
            Kill(SlotId(0), Kill)
    "#]]);
}

/// As after a pause of the arbiter: the beats that it knows are old, and it learns of the newer ones in turn.
#[test]
fn nobody_is_judged_before_all_beats_are_known() {
    let mut script = Script::serving(2, None);
    let beat = script.start + Duration::from_secs(39);
    script.at(40_000, Event::Beat(SlotId(0), beat)).at(40_000, Event::Beat(SlotId(1), beat));
    script.at(40_000, Event::Tick);
    script.said(expect![""]);
}

#[test]
fn one_that_is_asked_to_leave_goes_when_its_successor_is_ready() {
    let mut script = Script::serving(1, None);
    script.at(100, Event::LeaveRequested(SlotId(0), Leave::Signal)).at(200, Event::Ready(SlotId(1)));
    script.at(300, Event::Exited(SlotId(0), Death::Code(0)));
    script.said(expect![[r#"
        100 ms: LeaveRequested(SlotId(0), Signal)
            Say(LeaveRequested(SlotId(0), Signal))
            Spawn(SlotId(1))
        200 ms: Ready(SlotId(1))
            Order(SlotId(0), Leave, 30.2s)
    "#]]);
}

#[test]
fn one_worker_more_and_one_less() {
    let mut script = Script::serving(1, None);
    script.at(100, Event::Signal(Sig::TtIn)).at(200, Event::Ready(SlotId(1))).at(300, Event::Signal(Sig::TtOu));
    script.at(400, Event::Signal(Sig::TtOu));
    script.said(expect![[r#"
        100 ms: Signal(TtIn)
            Say(Target(2))
            Spawn(SlotId(1))
        300 ms: Signal(TtOu)
            Say(Target(1))
            Order(SlotId(0), Leave, 30.3s)
        400 ms: Signal(TtOu)
            Say(Ignored(TtOu))
    "#]]);
}

#[test]
fn an_interrupt_ends_even_a_drain_at_once() {
    let mut script = Script::serving(1, drain());
    script.at(0, Event::Signal(Sig::Term)).at(100, Event::Signal(Sig::Int));
    script.at(110, Event::Exited(SlotId(0), Death::Code(0)));
    script.said(expect![[r#"
        0 ms: Signal(Term)
            SetDoor(ListenerId(0), Draining)
            Order(SlotId(0), Drain, 30s)
            Say(Draining)
        100 ms: Signal(Int)
            Say(Quitting)
            SetDoor(ListenerId(0), Closed)
            Close(ListenerId(0))
            Order(SlotId(0), Quit, 100ms)
        110 ms: Exited(SlotId(0), Code(0))
            Halt(Ok)
    "#]]);
}

/// Handlers that take a while have not shown yet how fast they are: that nobody was served in the first moment is no
/// reason to turn newcomers away.
#[test]
fn the_rate_is_not_judged_before_it_can_be_known() {
    let slow = DrainSettings { quiet: Duration::from_secs(1), open: Duration::from_secs(60) };
    let mut script = Script::serving(1, Some(slow));
    script.at(0, Event::Signal(Sig::Term));
    script.lines.clear();
    for ms in (10..=3000).step_by(10) {
        script.reading(ms, Reading { queue: 500, ..empty() });
    }
    script.said(expect![""]);
    // By then one that serves nobody must be taken at its word.
    script.reading(3800, Reading { queue: 500, ..empty() });
    assert!(script.lines.contains("Shut"), "{}", script.lines);
}
