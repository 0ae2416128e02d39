use super::*;

/// The same settings again, and what becomes of the listeners.
fn reload(script: &Script, added: Vec<(ListenerId, Post)>, removed: Vec<ListenerId>) -> Event {
    Event::Reloaded(Reload { rules: script.machine.rules.clone(), added, removed })
}

#[test]
fn a_reload_replaces_each_worker_once_its_successor_is_ready() {
    let mut script = Script::serving(2, drain());
    let reloaded = reload(&script, vec![], vec![]);
    script.at(100, Event::Signal(Sig::Hup)).at(100, reloaded);
    script.at(200, Event::Ready(SlotId(2))).at(300, Event::Ready(SlotId(3)));
    script.said(expect![[r#"
        100 ms: Signal(Hup)
            Reread
        100 ms: Reloaded(Reload { rules: Rules { workers: 2, timeout: Some(30s), graceful_timeout: 30s, drain: Some(DrainSettings { quiet: 1s, open: 10s }), reload_step: 0 }, added: [], removed: [] })
            Say(Reloading)
            Spawn(SlotId(2))
            Spawn(SlotId(3))
        200 ms: Ready(SlotId(2))
            Order(SlotId(0), Leave, 30.2s)
        300 ms: Ready(SlotId(3))
            Order(SlotId(1), Leave, 30.3s)
            Say(Reloaded)
    "#]]);
}

#[test]
fn a_reload_in_steps_replaces_so_many_at_a_time() {
    let mut script = Script::serving(2, drain());
    let mut rules = script.machine.rules.clone();
    rules.reload_step = 1;
    script.at(100, Event::Reloaded(Reload { rules, added: vec![], removed: vec![] }));
    script.at(200, Event::Ready(SlotId(2))).at(300, Event::Ready(SlotId(3)));
    script.said(expect![[r#"
        100 ms: Reloaded(Reload { rules: Rules { workers: 2, timeout: Some(30s), graceful_timeout: 30s, drain: Some(DrainSettings { quiet: 1s, open: 10s }), reload_step: 1 }, added: [], removed: [] })
            Say(Reloading)
            Spawn(SlotId(2))
        200 ms: Ready(SlotId(2))
            Spawn(SlotId(3))
            Order(SlotId(0), Leave, 30.2s)
        300 ms: Ready(SlotId(3))
            Order(SlotId(1), Leave, 30.3s)
            Say(Reloaded)
    "#]]);
}

#[test]
fn the_old_workers_stay_while_the_new_ones_cannot_boot() {
    let mut script = Script::serving(1, drain());
    let reloaded = reload(&script, vec![], vec![]);
    script.at(2000, reloaded).at(2100, Event::Exited(SlotId(1), Death::Code(4)));
    script.at(3100, Event::Tick).at(3200, Event::Exited(SlotId(1), Death::Code(4)));
    script.at(4200, Event::Tick).at(4300, Event::Ready(SlotId(1)));
    script.said(expect![[r#"
        2000 ms: Reloaded(Reload { rules: Rules { workers: 1, timeout: Some(30s), graceful_timeout: 30s, drain: Some(DrainSettings { quiet: 1s, open: 10s }), reload_step: 0 }, added: [], removed: [] })
            Say(Reloading)
            Spawn(SlotId(1))
        2100 ms: Exited(SlotId(1), Code(4))
            Say(BootFailed(SlotId(1), Code(4)))
        3100 ms: Tick
            Spawn(SlotId(1))
        3200 ms: Exited(SlotId(1), Code(4))
            Say(BootFailed(SlotId(1), Code(4)))
            Say(KeepsDying { failures: 2, wait: 2s })
    "#]]);
}

#[test]
fn a_listener_that_is_new_opens_with_the_first_new_worker() {
    let mut script = Script::serving(1, drain());
    let reloaded = reload(&script, vec![(ListenerId(1), post(1, None))], vec![]);
    script.at(100, reloaded).at(200, Event::Ready(SlotId(1)));
    script.said(expect![[r#"
        100 ms: Reloaded(Reload { rules: Rules { workers: 1, timeout: Some(30s), graceful_timeout: 30s, drain: Some(DrainSettings { quiet: 1s, open: 10s }), reload_step: 0 }, added: [(ListenerId(1), Post { one_way: false, group: ListenerId(1), seat: None })], removed: [] })
            Say(Reloading)
            Spawn(SlotId(1))
        200 ms: Ready(SlotId(1))
            Listen(ListenerId(1))
            SetDoor(ListenerId(1), Open)
            Order(SlotId(0), Leave, 30.2s)
            Say(Reloaded)
    "#]]);
}

#[test]
fn a_stop_closes_a_listener_that_had_not_opened_yet() {
    let mut script = Script::serving(1, drain());
    let reloaded = reload(&script, vec![(ListenerId(1), post(1, None))], vec![]);
    script.at(100, reloaded).at(100, Event::Signal(Sig::Term));
    script.said(expect![[r#"
        100 ms: Reloaded(Reload { rules: Rules { workers: 1, timeout: Some(30s), graceful_timeout: 30s, drain: Some(DrainSettings { quiet: 1s, open: 10s }), reload_step: 0 }, added: [(ListenerId(1), Post { one_way: false, group: ListenerId(1), seat: None })], removed: [] })
            Say(Reloading)
            Spawn(SlotId(1))
        100 ms: Signal(Term)
            SetDoor(ListenerId(0), Draining)
            SetDoor(ListenerId(1), Closed)
            Close(ListenerId(1))
            Order(SlotId(0), Drain, 30.1s)
            Order(SlotId(1), Drain, 30.1s)
            Say(Draining)
    "#]]);
}

#[test]
fn a_listener_that_is_not_wanted_any_more_drains_while_the_server_serves() {
    let mut script = Script::serving(1, drain());
    let reloaded = reload(&script, vec![], vec![ListenerId(0)]);
    script.at(100, reloaded).at(200, Event::Ready(SlotId(1))).at(300, Event::Exited(SlotId(0), Death::Code(0)));
    for ms in (1000..=1200).step_by(10) {
        script.reading(ms, empty());
    }
    script.reading(1210, Reading { holders: 0, ..empty() });
    script.said(expect![[r#"
        100 ms: Reloaded(Reload { rules: Rules { workers: 1, timeout: Some(30s), graceful_timeout: 30s, drain: Some(DrainSettings { quiet: 1s, open: 10s }), reload_step: 0 }, added: [], removed: [ListenerId(0)] })
            SetDoor(ListenerId(0), Draining)
            Say(Reloading)
            Spawn(SlotId(1))
        200 ms: Ready(SlotId(1))
            Order(SlotId(0), Leave, 30.2s)
            Say(Reloaded)
        1100 ms: served 0, Reading { queue: 0, handshakes: 0, drops: 0, arrivals: 0, holders: 1 }
            SetDoor(ListenerId(0), Gated)
            Shut(ListenerId(0))
            Say(GateShut(ListenerId(0), false))
        1120 ms: served 0, Reading { queue: 0, handshakes: 0, drops: 0, arrivals: 0, holders: 1 }
            SetDoor(ListenerId(0), Sweep)
        1210 ms: served 0, Reading { queue: 0, handshakes: 0, drops: 0, arrivals: 0, holders: 0 }
            SetDoor(ListenerId(0), Closed)
            Close(ListenerId(0))
    "#]]);
}

#[test]
fn without_draining_it_closes_at_once() {
    let mut script = Script::serving(1, None);
    let reloaded = reload(&script, vec![], vec![ListenerId(0)]);
    script.at(100, reloaded);
    script.said(expect![[r#"
        100 ms: Reloaded(Reload { rules: Rules { workers: 1, timeout: Some(30s), graceful_timeout: 30s, drain: None, reload_step: 0 }, added: [], removed: [ListenerId(0)] })
            SetDoor(ListenerId(0), Closed)
            Close(ListenerId(0))
            Say(Reloading)
            Spawn(SlotId(1))
    "#]]);
}

#[test]
fn a_stop_closes_a_listener_that_others_hold_and_leaves_its_queue_to_them() {
    let mut script = Script::serving(1, drain());
    script.at(100, Event::OthersHold(vec![ListenerId(0)])).at(100, Event::Signal(Sig::Term));
    script.at(200, Event::Exited(SlotId(0), Death::Code(0)));
    script.said(expect![[r#"
        100 ms: Signal(Term)
            SetDoor(ListenerId(0), Closed)
            Close(ListenerId(0))
            Order(SlotId(0), Drain, 30.1s)
            Say(Draining)
        200 ms: Exited(SlotId(0), Code(0))
            Halt(Ok)
    "#]]);
}

#[test]
fn a_stop_in_the_middle_of_a_reload_drains_with_all_that_serve() {
    let mut script = Script::serving(1, drain());
    let reloaded = reload(&script, vec![], vec![]);
    script.at(100, reloaded).at(150, Event::Signal(Sig::Term));
    script.said(expect![[r#"
        100 ms: Reloaded(Reload { rules: Rules { workers: 1, timeout: Some(30s), graceful_timeout: 30s, drain: Some(DrainSettings { quiet: 1s, open: 10s }), reload_step: 0 }, added: [], removed: [] })
            Say(Reloading)
            Spawn(SlotId(1))
        150 ms: Signal(Term)
            SetDoor(ListenerId(0), Draining)
            Order(SlotId(0), Drain, 30.15s)
            Order(SlotId(1), Drain, 30.15s)
            Say(Draining)
    "#]]);
}

#[test]
fn a_reload_is_not_begun_while_the_server_starts_or_stops() {
    let mut script = Script::new(1, drain());
    script.at(0, Event::Tick).at(1, Event::Signal(Sig::Hup)).at(2, Event::Ready(SlotId(0)));
    script.at(3, Event::Signal(Sig::Term)).at(4, Event::Signal(Sig::Hup));
    script.said(expect![[r#"
        0 ms: Tick
            Spawn(SlotId(0))
        1 ms: Signal(Hup)
            Say(Ignored(Hup))
        2 ms: Ready(SlotId(0))
            Listen(ListenerId(0))
            SetDoor(ListenerId(0), Open)
            Say(Serving)
        3 ms: Signal(Term)
            SetDoor(ListenerId(0), Draining)
            Order(SlotId(0), Drain, 30.003s)
            Say(Draining)
        4 ms: Signal(Hup)
            Say(Ignored(Hup))
    "#]]);
}

#[test]
fn a_worker_that_has_served_enough_is_replaced_but_not_every_moment() {
    let mut script = Script::serving(1, None);
    script.at(50, Event::LeaveRequested(SlotId(0), Leave::MaxRequests)).at(1000, Event::Tick);
    script.at(1100, Event::Ready(SlotId(1))).at(5000, Event::LeaveRequested(SlotId(1), Leave::MaxRequests));
    script.said(expect![[r#"
        1000 ms: Tick
            Say(LeaveRequested(SlotId(0), MaxRequests))
            Spawn(SlotId(1))
        1100 ms: Ready(SlotId(1))
            Order(SlotId(0), Leave, 31.1s)
        5000 ms: LeaveRequested(SlotId(1), MaxRequests)
            Say(LeaveRequested(SlotId(1), MaxRequests))
            Spawn(SlotId(2))
    "#]]);
}
