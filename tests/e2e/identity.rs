//! Who the workers are: privileges that are given up for good, and what the processes are called.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    process::Command,
    time::Duration,
};

use nix::{
    sys::signal::Signal::{SIGHUP, SIGKILL, SIGTERM, SIGUSR1, SIGUSR2},
    unistd::{Group, Pid, User, geteuid},
};

use crate::support::{
    Builder, Server, Target, alive, children, each_class,
    http::{Conn, get, request},
    load::{Load, Shape},
    send, skip, status, title, turn, wait_until,
};

const SOON: Duration = Duration::from_secs(10);

each_class!(workers_are_nobody_and_cannot_go_back, drain_and_reload_go_on_without_privileges);

/// `nobody`, if this is root.
fn nobody() -> Option<User> {
    if !geteuid().is_root() {
        skip("only root can become somebody else");
        return None;
    }
    Some(User::from_name("nobody").unwrap().expect("every machine has a nobody"))
}

#[track_caller]
fn assert_is(worker: Pid, uid: u32, gid: u32, groups: &[u32]) {
    assert_eq!(status(worker, "Uid"), [(); 4].map(|()| uid.to_string()), "real, effective, saved, file system");
    assert_eq!(status(worker, "Gid"), [(); 4].map(|()| gid.to_string()));
    let mut groups: Vec<String> = groups.iter().map(u32::to_string).collect();
    groups.sort_by_key(|group| group.parse::<u32>().unwrap());
    assert_eq!(status(worker, "Groups"), groups);
    for set in ["CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(status(worker, set), ["0000000000000000"], "{set}");
    }
}

fn workers_are_nobody_and_cannot_go_back(class: &str) {
    let Some(nobody) = nobody() else { return };
    let server = Server::builder(class).workers(2).args(["--user", "nobody"]).start();
    let workers = server.wait_for_workers(SOON, |workers| workers.len() == 2);
    assert_eq!(get(&server.target(), "/hello").unwrap().status, 200);
    for &worker in &workers {
        assert_is(worker, nobody.uid.as_raw(), nobody.gid.as_raw(), &[nobody.gid.as_raw()]);
    }
    assert_eq!(status(server.pid(), "Uid"), ["0", "0", "0", "0"], "the arbiter stays who it is");
    // The kernel forgets at a change of user whose death is to be theirs.
    server.signal(SIGKILL);
    assert!(wait_until(SOON, || !workers.iter().any(|&worker| alive(worker))), "workers outlive their arbiter");
}

/// With a process that keeps its capabilities whoever it becomes (capabilities(7)), and in a user namespace that has no other
/// user.
#[test]
fn worker_that_cannot_give_up_its_privileges_does_not_boot() {
    let Some(_) = nobody() else { return };
    for (wrapper, says) in [
        (&["setpriv", "--securebits", "+no_setuid_fixup"][..], "privileges could not be given up for good"),
        (&["unshare", "--user", "--map-root-user"], ""),
    ] {
        let mut command = Command::new(wrapper[0]);
        command.args(&wrapper[1..]).arg(env!("CARGO_BIN_EXE_rserve"));
        let output = command.args(["--bind", "127.0.0.1:0", "--user", "nobody"]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        if wrapper[0] == "unshare" && said.starts_with("unshare: ") {
            skip("no user namespaces here");
            continue;
        }
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains(&format!("worker cannot become who --user and --group say: {says}")), "{said}");
    }
}

/// Their successors are forked by root, and drop as they did; the drain's gate is the arbiter's to shut.
fn drain_and_reload_go_on_without_privileges(class: &str) {
    let Some(nobody) = nobody() else { return };
    let _turn = turn();
    let builder = Server::builder(class).workers(2).drain(0.3).settings_file("user = 'nobody'\ngroup = 'daemon'");
    let mut server = builder.start();
    let before = server.wait_for_workers(SOON, |workers| workers.len() == 2);
    let load = Load::start(&server.target(), "/sleep/20", Shape::Fresh { rate: 50.0 });
    load.wait_for(20);
    server.signal(SIGHUP);
    let after =
        server.wait_for_workers(SOON, |now| now.len() == 2 && !now.iter().any(|worker| before.contains(worker)));
    let daemon = Group::from_name("daemon").unwrap().expect("every machine has a daemon").gid.as_raw();
    for &worker in &after {
        assert_is(worker, nobody.uid.as_raw(), daemon, &[daemon]);
    }
    load.wait_for(20);
    server.signal(SIGTERM);
    load.wait_for(10);
    let tally = load.stop();
    tally.assert_none_lost(0);
    assert_eq!(server.wait_exit(Duration::from_secs(20)).code(), Some(0));
    server.drain_report();
}

#[test]
fn successor_of_an_upgrade_drops_as_well() {
    let Some(nobody) = nobody() else { return };
    let server = Server::builder("sync").args(["-u", &nobody.uid.to_string()]).start();
    let own = server.workers();
    server.signal(SIGUSR2);
    let successor =
        server.wait_for_workers(SOON, |now| now.len() == 2).into_iter().find(|pid| !own.contains(pid)).unwrap();
    server.wait_for_line(SOON, "the successor", |line| line.message().contains("serves; SIGTERM ends this server"));
    let workers = children(successor);
    assert_is(workers[0], nobody.uid.as_raw(), nobody.gid.as_raw(), &[nobody.gid.as_raw()]);
    send(successor, SIGTERM);
    assert!(wait_until(SOON, || !alive(successor)));
}

#[test]
fn initgroups_keeps_the_users_groups() {
    let Some(_) = nobody() else { return };
    // A user with more groups than one.
    let groups = |name: &str| -> Vec<u32> {
        let output = Command::new("id").args(["-G", name]).output().expect("coreutils has it");
        String::from_utf8_lossy(&output.stdout).split_whitespace().map(|group| group.parse().unwrap()).collect()
    };
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let names = users.lines().filter_map(|line| line.split(':').next()).filter(|name| *name != "root");
    let Some((name, all)) = names.map(|name| (name, groups(name))).find(|(_, groups)| groups.len() > 1) else {
        return skip("no user here is in two groups");
    };
    let server = Server::builder("sync").env("RSERVE_CMD_ARGS", &format!("--user {name} --initgroups")).start();
    let user = User::from_name(name).unwrap().unwrap();
    assert_is(server.workers()[0], user.uid.as_raw(), user.gid.as_raw(), &all);
}

/// In a folder in which they may not make files.
#[test]
fn log_file_is_opened_anew_by_workers_without_privileges() {
    let Some(nobody) = nobody() else { return };
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let log = dir.path().join("log");
    let builder = Server::builder("sync").debug_log().args(["--user", "nobody", "--log-file", log.to_str().unwrap()]);
    let server = builder.spawn();
    let says = |what: &str| wait_until(SOON, || fs::read_to_string(&log).is_ok_and(|text| text.contains(what)));
    assert!(says("listening"));
    fs::rename(&log, dir.path().join("old")).unwrap();
    server.signal(SIGUSR1);
    assert!(says("SIGUSR1"));
    // The worker opens it when it is woken.
    let worker_says = || {
        get(&server.target(), "/sleep/1").unwrap();
        fs::read_to_string(&log).unwrap().contains("sleeping")
    };
    assert!(wait_until(SOON, worker_says), "{}", fs::read_to_string(&log).unwrap());
    assert_eq!(fs::metadata(&log).unwrap().uid(), nobody.uid.as_raw());
    assert!(!says_now(&log, "cannot be opened anew"));
}

fn says_now(log: &Path, what: &str) -> bool {
    fs::read_to_string(log).is_ok_and(|text| text.contains(what))
}

fn socket_in(dir: &Path) -> (Builder, std::path::PathBuf) {
    let path = dir.join("app.sock");
    (Server::builder("sync").address(format!("unix:{}", path.display()), Target::Unix(path.clone())), path)
}

#[test]
fn unix_socket_belongs_to_the_workers_user() {
    let Some(nobody) = nobody() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (builder, path) = socket_in(dir.path());
    let _server = builder.args(["--user", "nobody", "--umask", "0117"]).start();
    let found = fs::metadata(&path).unwrap();
    assert_eq!((found.uid(), found.gid()), (nobody.uid.as_raw(), nobody.gid.as_raw()));
    assert_eq!(found.permissions().mode() & 0o777, 0o660);
}

#[test]
fn umask_is_that_of_the_workers_and_of_unix_sockets() {
    let dir = tempfile::tempdir().unwrap();
    let (builder, path) = socket_in(dir.path());
    // Each takes the socket over from one that was killed.
    for (builder, mask, mode) in [
        (builder.clone().args(["-m", "027"]), Some("0027"), 0o750),
        (builder.clone().settings_file("umask = 0o077"), Some("0077"), 0o700),
        (builder.clone().env("RSERVE_CMD_ARGS", "--umask 0x12"), Some("0022"), 0o755),
        // Who is to connect is a matter of the folder then; gunicorn's default.
        (builder, None, 0o777),
    ] {
        let server = builder.args(["--pid", dir.path().join("pid").to_str().unwrap()]).start();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
        if let Some(mask) = mask {
            assert_eq!(status(server.workers()[0], "Umask"), [mask]);
        }
        assert_eq!(fs::metadata(dir.path().join("pid")).unwrap().permissions().mode() & 0o777, 0o644);
    }
}

#[test]
fn no_new_privileges_is_the_workers_affair() {
    let on = |server: &Server| status(server.workers()[0], "NoNewPrivs");
    for builder in [
        Server::builder("sync").args(["--no-new-privs"]),
        Server::builder("sync").settings_file("no_new_privs = true"),
        Server::builder("sync").env("RSERVE_CMD_ARGS", "--no-new-privs"),
    ] {
        let server = builder.start();
        assert_eq!(on(&server), ["1"]);
        assert_eq!(status(server.pid(), "NoNewPrivs"), ["0"], "a successor may need what its program file grants");
    }
    assert_eq!(on(&Server::builder("sync").start()), ["0"]);
}

#[test]
fn who_has_no_right_to_become_somebody_is_told() {
    let Some(_) = nobody() else { return };
    let mut server = Server::builder("sync").unprivileged().args(["--user", "daemon"]).spawn();
    assert_eq!(server.wait_exit(SOON).code(), Some(1));
    server.wait_for_line(SOON, "the refusal", |line| line.text.contains("has no right to become user"));
    // To check the settings takes none either.
    let mut check = Server::builder("sync").unprivileged().args(["--user", "daemon", "--check-config"]).spawn();
    assert_eq!(check.wait_exit(SOON).code(), Some(0));
    // To become who one is takes none.
    let server = Server::builder("sync").unprivileged().args(["--user", "nobody"]).start();
    assert_eq!(get(&server.target(), "/hello").unwrap().status, 200);
}

#[test]
fn titles_tell_the_role_the_name_the_class_and_the_state() {
    let builder = Server::builder("sync").drain(0.3).debug_log();
    for (builder, name) in [
        (builder.clone(), "demo"),
        (builder.clone().args(["-n", "shop"]), "shop"),
        (builder.clone().settings_file("proc_name = 'till'"), "till"),
        (builder.env("RSERVE_CMD_ARGS", "--name kiosk"), "kiosk"),
    ] {
        let server = builder.start();
        let worker = server.workers()[0];
        let shown = |pid, expected: &str| {
            assert!(wait_until(SOON, || title(pid) == expected), "{} is not {expected}", title(pid));
        };
        shown(server.pid(), &format!("rserve: arbiter [{name}] serving"));
        shown(worker, &format!("rserve: worker sync [{name}] serving"));
        let mut conn = Conn::open(&server.target()).unwrap();
        conn.send(request("/sleep/1000")).unwrap();
        server.wait_for_handler();
        server.signal(SIGTERM);
        shown(server.pid(), &format!("rserve: arbiter [{name}] draining"));
        shown(worker, &format!("rserve: worker sync [{name}] draining"));
    }
}

/// The words that start it again were where the title is now.
#[test]
fn title_does_not_stand_in_the_way_of_an_upgrade() {
    let server = Server::builder("sync").args(["--name", &"long".repeat(100)]).start();
    let own = server.workers();
    server.signal(SIGUSR2);
    server.wait_for_line(SOON, "the successor", |line| line.message().contains("serves; SIGTERM ends this server"));
    let successor = server.workers().into_iter().find(|pid| !own.contains(pid)).unwrap();
    assert!(title(successor).starts_with("rserve: arbiter [longlong"), "{}", title(successor));
    send(successor, SIGTERM);
    assert!(wait_until(SOON, || !alive(successor)));
}
