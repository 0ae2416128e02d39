use super::*;
use crate::page::DoorPhase;

/// Two workers with a listener each.
fn two_seats() -> Script {
    let mut script = Script::serving(2, drain());
    script.machine.doors.clear();
    for seat in 0..2 {
        let mut door = Door::new(post(0, Some(seat)), 0, script.start);
        door.open(0);
        script.machine.doors.push(door);
    }
    script
}

impl Script {
    /// From which listeners each of these workers may take, in the order of the workers.
    fn takes(&self, workers: impl IntoIterator<Item = u16>) -> Vec<Vec<u16>> {
        let open =
            |worker, listener: &u16| self.machine.door_phase(ListenerId(*listener), SlotId(worker)) == DoorPhase::Open;
        workers.into_iter().map(|worker| (0..2).filter(|listener| open(worker, listener)).collect()).collect()
    }
}

#[test]
fn each_worker_takes_from_its_own_listener() {
    assert_eq!(two_seats().takes([0, 1]), [[0], [1]]);
}

#[test]
fn the_listener_of_one_that_died_is_everybodys_until_its_successor_is_ready() {
    let mut script = two_seats();
    script.at(5000, Event::Exited(SlotId(1), Death::Signal(9)));
    assert_eq!(script.takes([0]), [[0, 1]]);
    script.at(5100, Event::Ready(SlotId(1)));
    assert_eq!(script.takes([0, 1]), [[0], [1]]);
}

#[test]
fn successors_take_over_the_listeners_of_those_they_replace() {
    let mut script = two_seats();
    let rules = script.machine.rules.clone();
    script.at(100, Event::Reloaded(Reload { rules, added: vec![], removed: vec![] }));
    script.at(200, Event::Ready(SlotId(2))).at(300, Event::Ready(SlotId(3)));
    assert_eq!(script.takes([2, 3]), [[0], [1]]);
}

#[test]
fn one_worker_less_leaves_its_listener_to_the_others() {
    let mut script = two_seats();
    script.at(100, Event::Signal(Sig::TtOu));
    assert_eq!(script.takes([1]), [[0, 1]]);
    script.at(200, Event::Signal(Sig::TtIn));
    assert_eq!(script.machine.seat(SlotId(2)), Some(0), "the next one has it again");
}

impl Script {
    /// As the driver does for each worker that it starts.
    fn open_seat(&mut self, listener: u16, worker: u16) {
        let post = post(0, self.machine.seat(SlotId(worker)));
        self.machine.add_seat(ListenerId(listener), post, SlotId(worker), self.start);
    }
}

#[test]
fn a_new_listener_opens_when_its_worker_is_ready() {
    let mut script = two_seats();
    script.at(100, Event::Signal(Sig::TtIn)).open_seat(2, 2);
    assert_eq!(script.machine.door_phase(ListenerId(2), SlotId(2)), DoorPhase::Bound);
    script.at(200, Event::Ready(SlotId(2)));
    assert!(script.lines.contains("Listen(ListenerId(2))"), "{}", script.lines);
    assert_eq!(script.machine.door_phase(ListenerId(2), SlotId(2)), DoorPhase::Open);
}

/// Those who stay were started before there was that listener, and cannot take from it.
#[test]
fn a_new_listener_whose_worker_is_sent_away_before_it_is_ready_stays_shut() {
    let mut script = two_seats();
    script.at(100, Event::Signal(Sig::TtIn)).open_seat(2, 2);
    script.at(200, Event::Signal(Sig::TtOu)).at(300, Event::Ready(SlotId(2)));
    script.at(400, Event::Exited(SlotId(2), Death::Code(0)));
    assert_eq!(script.machine.door_phase(ListenerId(2), SlotId(0)), DoorPhase::Bound, "{}", script.lines);
}

#[test]
fn a_listener_that_nobody_has_who_stays_gets_a_worker() {
    let mut script = two_seats();
    script.at(100, Event::Signal(Sig::TtIn)).open_seat(2, 2);
    script.at(200, Event::Ready(SlotId(2))).at(300, Event::Exited(SlotId(2), Death::Signal(9)));
    assert!(!script.lines.contains("Listener)"), "its successor is on the way: {}", script.lines);
    script.at(400, Event::Signal(Sig::TtOu));
    assert!(script.lines.contains("LeaveRequested(SlotId(0), Listener)"), "{}", script.lines);
    script.at(1500, Event::Tick).at(1600, Event::Ready(SlotId(2)));
    assert_eq!(script.machine.door_phase(ListenerId(2), SlotId(2)), DoorPhase::Open);
    script.at(2000, Event::Tick);
    assert_eq!(script.lines.matches("Listener)").count(), 1, "{}", script.lines);
}

#[test]
fn a_new_worker_is_not_given_a_listener_at_an_address_that_is_on_its_way_out() {
    let mut script = two_seats();
    assert_eq!(script.machine.groups_without(2), [ListenerId(0)]);
    let rules = script.machine.rules.clone();
    let removed = vec![ListenerId(0), ListenerId(1)];
    script.at(100, Event::Reloaded(Reload { rules, added: vec![], removed }));
    assert_eq!(script.machine.groups_without(2), []);
}

/// The kernel spreads newcomers over the group, so a listener that is quiet by itself must not be shut by itself.
#[test]
fn listeners_of_one_address_drain_as_one() {
    let mut script = two_seats();
    script.at(0, Event::Signal(Sig::Term));
    let both = |ms: u64, script: &mut Script, readings: [Reading; 2]| {
        let served = readings.iter().map(|reading| reading.arrivals).sum();
        script.at(ms, Event::Readings { served, readings: readings.to_vec() });
    };
    for ms in (100..=1500).step_by(100) {
        let busy = Reading { arrivals: ms.min(800), ..empty() };
        both(ms, &mut script, [empty(), busy]);
    }
    assert!(!script.lines.contains("Shut"), "{}", script.lines);
    both(1800, &mut script, [empty(), Reading { arrivals: 800, ..empty() }]);
    assert!(script.lines.contains("Shut(ListenerId(0))") && script.lines.contains("Shut(ListenerId(1))"));
    both(1810, &mut script, [Reading { drops: 1, ..empty() }, Reading { arrivals: 800, ..empty() }]);
    assert!(script.lines.contains("Lift(ListenerId(0))") && script.lines.contains("Lift(ListenerId(1))"));
    assert_eq!(script.machine.door_logs().count(), 1, "and as one in the report");
}
