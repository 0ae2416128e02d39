//! systemd itself reads the example units.

use std::{fs, path::Path, process::Command};

use crate::support::skip;

#[test]
fn systemd_has_nothing_to_say_against_the_example_units() {
    let Ok(version) = Command::new("systemd-analyze").arg("--version").output() else {
        return skip("systemd-analyze is missing (Debian: systemd)");
    };
    let version = String::from_utf8(version.stdout).unwrap();
    let version: u32 = version.split_whitespace().nth(1).unwrap().parse().unwrap();
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/systemd");
    let folder = tempfile::tempdir().unwrap();
    for name in ["rserve.service", "rserve.socket"] {
        let mut unit = fs::read_to_string(units.join(name)).unwrap();
        unit = unit.replace("/usr/local/bin/rserve", env!("CARGO_BIN_EXE_rserve"));
        if version < 253 {
            // As the unit's own comment says.
            unit = unit.replace("Type=notify-reload\n", "Type=notify\nExecReload=kill -HUP $MAINPID\n");
        }
        fs::write(folder.path().join(name), unit).unwrap();
    }
    let mut verify = Command::new("systemd-analyze");
    verify.arg("verify").args(["rserve.service", "rserve.socket"].map(|name| folder.path().join(name)));
    let verdict = verify.output().unwrap();
    assert_eq!((verdict.status.code(), String::from_utf8(verdict.stderr).unwrap()), (Some(0), String::new()));
}
