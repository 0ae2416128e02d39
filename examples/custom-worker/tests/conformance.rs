//! The class keeps what every class must keep.

#[test]
fn it_serves_drains_beats_and_quits_as_it_must() {
    rserve_conformance::Check::new(env!("CARGO_BIN_EXE_custom-worker"), "thread-per-connection").run().assert_passed();
}
