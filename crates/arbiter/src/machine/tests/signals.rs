//! Each signal in each state: what the machine says to do.

use expect_test::expect_file;

use super::*;

const EACH: [Sig; 8] = [Sig::Term, Sig::Int, Sig::Quit, Sig::Hup, Sig::Usr1, Sig::Usr2, Sig::TtIn, Sig::TtOu];

type State = (&'static str, fn() -> Script);

/// Two workers, in each state of the server.
fn states() -> [State; 7] {
    [
        ("booting", || {
            let mut script = Script::new(2, drain());
            script.at(0, Event::Tick);
            script
        }),
        ("serving", || Script::serving(2, drain())),
        ("reloading", || {
            let mut script = Script::serving(2, drain());
            let rules = script.machine.rules.clone();
            script.at(50, Event::Reloaded(Reload { rules, added: Vec::new(), removed: Vec::new() }));
            script
        }),
        ("beside a successor", || {
            let mut script = Script::serving(2, drain());
            script.at(50, Event::OthersHold(vec![ListenerId(0)]));
            script
        }),
        ("draining", || {
            let mut script = Script::serving(2, drain());
            script.at(50, Event::Signal(Sig::Term));
            script
        }),
        ("leaving", || {
            let mut script = Script::serving(2, None);
            script.at(50, Event::Signal(Sig::Term));
            script
        }),
        ("quitting", || {
            let mut script = Script::serving(2, None);
            script.at(50, Event::Signal(Sig::Int));
            script
        }),
    ]
}

#[test]
fn each_signal_in_each_state() {
    let mut all = String::new();
    for (state, reach) in states() {
        for signal in &EACH {
            let mut script = reach();
            script.lines.clear();
            script.at(100, Event::Signal(*signal));
            all += &format!("{state}, {}", script.lines.trim_start_matches("100 ms: "));
        }
    }
    expect_file!["signals.txt"].assert_eq(&all);
}
