//! Workers that keep dying: how often they are started again.

use expect_test::expect;

use super::*;

/// The seconds at which workers are started when each lives as `live` says; the first two of them serve well.
fn starts(workers: u16, seconds: u64, live: impl Fn(&mut Script, u64)) -> Vec<f64> {
    let mut script = Script::serving(workers, None);
    let mut starts = Vec::new();
    for ms in (1000..seconds * 1000).step_by(100) {
        script.at(ms, Event::Tick);
        let spawned = script.lines.matches("Spawn(").count();
        for _ in 0..spawned {
            starts.push(ms as f64 / 1000.0);
        }
        script.lines.clear();
        live(&mut script, ms);
    }
    starts
}

#[test]
fn one_that_cannot_boot_is_tried_ever_less_often() {
    let starts = starts(1, 120, |script, ms| {
        script.at(ms + 50, Event::Exited(SlotId(0), Death::Code(3)));
    });
    expect!["[1.1, 2.2, 4.3, 8.4, 16.5, 32.6, 62.7, 92.8]"].assert_eq(&format!("{starts:?}"));
}

/// A request that kills whoever serves it must not keep all others waiting.
#[test]
fn one_that_dies_soon_after_it_was_ready_is_back_within_seconds() {
    let starts = starts(1, 30, |script, ms| {
        script.at(ms + 10, Event::Ready(SlotId(0)));
        script.at(ms + 50, Event::Exited(SlotId(0), Death::Signal(11)));
    });
    expect!["[1.1, 2.1, 4.1, 8.1, 13.1, 18.1, 23.1, 28.1]"].assert_eq(&format!("{starts:?}"));
}

#[test]
fn one_that_has_lived_for_a_while_is_replaced_at_once() {
    let mut script = Script::serving(1, None);
    for second in [10, 20, 30] {
        script.at(second * 1000, Event::Exited(SlotId(0), Death::Signal(11)));
        script.at(second * 1000 + 100, Event::Ready(SlotId(0)));
    }
    assert_eq!(script.lines.matches("Spawn(").count(), 3);
    assert!(!script.lines.contains("KeepsDying"));
}

#[test]
fn each_death_in_a_row_is_told_with_what_comes_of_it() {
    let mut script = Script::serving(1, None);
    script.at(20_000, Event::Exited(SlotId(0), Death::Signal(9)));
    script.at(20_100, Event::Exited(SlotId(0), Death::Code(3))).at(21_100, Event::Tick);
    script.at(21_200, Event::Exited(SlotId(0), Death::Code(3)));
    script.at(23_200, Event::Tick).at(23_200, Event::SpawnFailed(SlotId(0)));
    script.said(expect![[r#"
        20000 ms: Exited(SlotId(0), Signal(9))
            Say(Died(SlotId(0), Signal(9)))
            Spawn(SlotId(0))
        20100 ms: Exited(SlotId(0), Code(3))
            Say(BootFailed(SlotId(0), Code(3)))
        21100 ms: Tick
            Spawn(SlotId(0))
        21200 ms: Exited(SlotId(0), Code(3))
            Say(BootFailed(SlotId(0), Code(3)))
            Say(KeepsDying { failures: 2, wait: 2s })
        23200 ms: Tick
            Spawn(SlotId(0))
        23200 ms: SpawnFailed(SlotId(0))
            Say(SpawnFailed(4s))
    "#]]);
}

#[test]
fn a_reload_tries_at_once() {
    let mut script = Script::serving(1, None);
    for ms in [20_000, 20_100, 21_200, 23_300] {
        script.at(ms, Event::Tick).at(ms, Event::Exited(SlotId(0), Death::Code(3)));
    }
    script.lines.clear();
    let rules = script.machine.rules.clone();
    script.at(23_400, Event::Reloaded(Reload { rules, added: Vec::new(), removed: Vec::new() }));
    assert!(script.lines.contains("Spawn("), "{}", script.lines);
}

/// As of a process group that was stopped: the arbiter was, and so were the workers.
#[test]
fn time_in_which_the_arbiter_was_held_up_is_nobodys_fault() {
    let mut script = Script::serving(1, None);
    script.at(60_000, Event::Late(Duration::from_secs(50))).at(60_000, Event::Tick);
    script.at(79_990, Event::Tick);
    script.said(expect![""]);
    script.at(80_020, Event::Tick);
    assert!(script.lines.contains("Stuck"));
}
