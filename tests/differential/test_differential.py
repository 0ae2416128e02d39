"""What an operator counts on, asked of gunicorn and of rserve: `SERVER_UNDER_TEST=gunicorn pytest tests/differential`."""

import grp
import http.client
import os
import pathlib
import pwd
import re
import signal
import socket
import stat

import pytest
from differences import DIFFERENCES, differs
from server import CMD_ARGS, HERE, NAME, Server, children, free_port, is_gone, run, wait_until

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")

GROUPS = differs("`--user` and `--group`: the other groups of who started it", "kept", "given up", "They are privileges too.")
GROUP = differs("`--user` without `--group`: the group", "that of who started it", "the user's own", "Root's group is not what somebody wants who names a user.")
MASK = differs("`--umask`: files that workers make", "as the server was started with", "have it, if it is given", "Who names a mask means the app's files, too.")
CUT = differs("a request that is cut: INT, QUIT, `--timeout`", "it is answered with 500", "its connection is closed", "Nothing is raised in the app, which could catch it and stay.")


def how_it_ends(connection):
    try:
        return f"it is answered with {connection.getresponse().status}"
    except (http.client.HTTPException, OSError):
        return "its connection is closed"


# Exit codes


@pytest.mark.parametrize("what", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_server_that_was_told_to_stop_exits_with_0(what):
    with Server("--workers", "2") as server:
        workers = server.wait_for_workers(lambda now: len(now) == 2)
        code, seconds = server.end(what)
        assert code == 0 and seconds < 5
        wait_until(lambda: all(is_gone(worker) for worker in workers))


def test_help_and_version():
    for flag in ("--help", "--version"):
        code, said = run(flag)
        assert code == 0 and NAME in said


def test_an_unknown_flag():
    code, said = run("--no-such-flag", "app:app")
    assert code == 2 and "--no-such-flag" in said


NO_MODULE = differs("exit code: the app's module is not there", 3, 4, "To a person who mistypes it is the same mistake as a name that the module has not, for which both say 4.")
WRONG_SETTING = differs("exit code: a value that a setting cannot have, an unknown worker class, user or group", 1, 2, "The command line is wrong, as with an unknown flag, for which both say 2.")
CHECK_CONFIG = differs("exit code: `--check-config` with an app that cannot be loaded", 1, 4, "It is what a start would end with.")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["nowhere:app"], NO_MODULE),
        (["app:nothing"], 4),
        (["--worker-class", "no-such-class", "app:app"], WRONG_SETTING),
        (["--user", "no-such-user", "app:app"], WRONG_SETTING),
        (["--group", "no-such-group", "app:app"], WRONG_SETTING),
        (["--umask", "none", "app:app"], 2),
        (["--workers", "many", "app:app"], 2),
        (["--workers", "-1", "app:app"], WRONG_SETTING),
        (["--chdir", "/nonexistent", "app:app"], WRONG_SETTING),
        (["--check-config", "app:app"], 0),
        (["--check-config", "nowhere:app"], CHECK_CONFIG),
    ],
)
def test_exit_codes(words, code):
    found, said = run("--bind", f"127.0.0.1:{free_port()}", *words)
    assert found == code, said


def test_an_address_in_use():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, said = run("--bind", f"127.0.0.1:{taken.getsockname()[1]}", "app:app")
    assert code == 1 and "in use" in said.lower()


def test_a_pid_file_of_a_live_process(tmp_path):
    file = tmp_path / "pid"
    file.write_text("1\n")
    code, said = run("--bind", f"127.0.0.1:{free_port()}", "--pid", str(file), "app:app")
    assert code == 1 and str(file) in said, said
    assert file.read_text() == "1\n"


# Signals


def test_ttin_and_ttou():
    with Server() as server:
        for what, number in [(signal.SIGTTIN, 2), (signal.SIGTTIN, 3), (signal.SIGTTOU, 2), (signal.SIGTTOU, 1), (signal.SIGTTOU, 1)]:
            server.send(what)
            server.wait_for_workers(lambda now: len(now) == number)
            assert server.get("/")[0] == 200


def test_hup_replaces_the_workers():
    with Server("--workers", "2") as server:
        before = server.wait_for_workers(lambda now: len(now) == 2)
        server.send(signal.SIGHUP)
        server.wait_for_workers(lambda now: len(now) == 2 and not set(before) & set(now))
        assert server.get("/")[0] == 200
        assert server.end()[0] == 0


def test_usr1_opens_the_log_anew(tmp_path):
    log, old = tmp_path / "log", tmp_path / "old"
    with Server("--error-logfile", str(log)) as server:
        wait_until(lambda: "listening" in log.read_text().lower())
        log.rename(old)
        server.send(signal.SIGUSR1)
        wait_until(log.exists)
        assert server.end()[0] == 0
        assert log.read_text()


def test_usr2_starts_a_successor_beside(tmp_path):
    file, second = tmp_path / "pid", tmp_path / "pid.2"
    with Server("--pid", str(file)) as server:
        server.send(signal.SIGUSR2)
        wait_until(lambda: second.exists() and second.read_text())
        successor = int(second.read_text())
        wait_until(lambda: children(successor))
        assert int(file.read_text()) == server.process.pid
        assert server.end()[0] == 0
        wait_until(lambda: file.exists() and file.read_text().strip() == str(successor))
        assert server.get("/")[0] == 200
        os.kill(successor, signal.SIGTERM)
        wait_until(lambda: is_gone(successor))


def test_winch_is_nothing_in_the_foreground():
    with Server() as server:
        before = server.workers()
        server.send(signal.SIGWINCH)
        server.send(signal.SIGTTIN)
        now = server.wait_for_workers(lambda now: len(now) == 2)
        assert set(before) <= set(now)


def test_term_finishes_what_is_in_hand():
    with Server() as server:
        connection = server.in_hand(1)
        server.send(signal.SIGTERM)
        assert connection.getresponse().read() == b"ok"
        assert server.process.wait(10) == 0


@pytest.mark.parametrize("what", [signal.SIGINT, signal.SIGQUIT])
def test_int_and_quit_cut_what_is_in_hand(what):
    with Server() as server:
        connection = server.in_hand(20)
        code, seconds = server.end(what)
        assert code == 0 and seconds < 5
        assert how_it_ends(connection) == CUT


def test_the_graceful_timeout_is_the_end():
    with Server("--graceful-timeout", "1") as server:
        connection = server.in_hand(20)
        code, seconds = server.end()
        assert code == 0 and 0.9 < seconds < 6
        assert how_it_ends(connection) == "its connection is closed"


# Supervision


def test_a_worker_that_was_killed_is_replaced():
    with Server() as server:
        [before] = server.workers()
        os.kill(before, signal.SIGKILL)
        server.wait_for_workers(lambda now: len(now) == 1 and before not in now)
        assert server.get("/")[0] == 200


def test_a_stuck_worker_is_replaced():
    with Server("--timeout", "1") as server:
        [before] = server.workers()
        connection = server.in_hand(20)
        server.wait_for_workers(lambda now: len(now) == 1 and before not in now)
        assert how_it_ends(connection) == CUT
        assert server.get("/")[0] == 200


def test_without_a_timeout_nobody_is_stuck():
    with Server("--timeout", "0") as server:
        before = server.workers()
        assert server.in_hand(3).getresponse().status == 200
        assert server.workers() == before


def test_workers_go_with_their_arbiter():
    with Server("--workers", "2") as server:
        workers = server.wait_for_workers(lambda now: len(now) == 2)
        server.process.kill()
        wait_until(lambda: all(is_gone(worker) for worker in workers))


def test_max_requests():
    with Server("--max-requests", "3") as server:
        [before] = server.workers()
        for _ in range(5):
            assert server.get("/")[0] == 200
        server.wait_for_workers(lambda now: len(now) == 1 and before not in now)


# Where settings come from


def test_workers_by_each_source():
    for options, env, number in [
        ([], {"WEB_CONCURRENCY": "2"}, 2),
        ([], {"WEB_CONCURRENCY": "2", CMD_ARGS: "--workers 3"}, 3),
        (["-w", "1"], {"WEB_CONCURRENCY": "2", CMD_ARGS: "--workers 3"}, 1),
    ]:
        with Server(*options, env=env) as server:
            server.wait_for_workers(lambda now: len(now) == number)


def test_env_chdir_and_pythonpath(tmp_path):
    with Server("--env", "SHOP=a=b", "--chdir", str(tmp_path), "--pythonpath", str(HERE), cwd=tmp_path) as server:
        assert server.get("/env?SHOP") == (200, "a=b")
        assert server.get("/cwd") == (200, str(tmp_path))


# Identity


@needs_root
def test_user_and_group():
    nobody, daemon = pwd.getpwnam("nobody").pw_uid, grp.getgrnam("daemon").gr_gid
    with Server("--preload", "--user", "nobody", "--group", "daemon") as server:
        assert server.get("/uids") == (200, str((nobody,) * 3))
        assert server.get("/gids") == (200, str((daemon,) * 3))
        own = sorted(os.getgroups()) if GROUPS == "kept" else [daemon]
        assert server.get("/groups") == (200, str(own))
        assert pathlib.Path(f"/proc/{server.process.pid}").stat().st_uid == 0


@needs_root
def test_a_user_without_a_group():
    gid = pwd.getpwnam("nobody").pw_gid
    with Server("--preload", "--user", "nobody") as server:
        assert server.get("/gids") == (200, str(((gid,) if GROUP == "the user's own" else (os.getegid(),)) * 3))


@needs_root
def test_initgroups():
    members = {name: [group.gr_gid for group in grp.getgrall() if name in group.gr_mem] for name in (user.pw_name for user in pwd.getpwall())}
    name = next((name for name, groups in members.items() if groups and name != "root"), None)
    if name is None:
        pytest.skip("no user here is in two groups")
    user = pwd.getpwnam(name)
    with Server("--preload", "--user", name, "--group", str(user.pw_gid), "--initgroups") as server:
        assert server.get("/groups") == (200, str(sorted({user.pw_gid, *members[name]})))


@needs_root
@pytest.mark.parametrize(("options", "mode"), [([], 0o777), (["--umask", "0117"], 0o660), (["-m", "0x12"], 0o755)])
def test_a_unix_socket_is_the_users(tmp_path, options, mode):
    tmp_path.chmod(0o777)
    path = tmp_path / "socket"
    with Server("--preload", "--user", "nobody", "--group", "daemon", *options, bind=f"unix:{path}"):
        found = path.stat()
        assert (found.st_uid, found.st_gid) == (pwd.getpwnam("nobody").pw_uid, grp.getgrnam("daemon").gr_gid)
        assert stat.S_IMODE(found.st_mode) == mode


def test_the_umask_of_workers():
    before = os.umask(0o022)
    try:
        with Server("--umask", "077") as server:
            assert server.get("/umask")[1] == oct(0o022 if "started" in MASK else 0o077)
    finally:
        os.umask(before)


def test_the_pid_file(tmp_path):
    file = tmp_path / "pid"
    with Server("--pid", str(file)) as server:
        assert file.read_text() == f"{server.process.pid}\n"
        assert stat.S_IMODE(file.stat().st_mode) == 0o644
        assert server.end()[0] == 0
        assert not file.exists()


def test_a_stale_pid_file_and_socket_are_taken_over(tmp_path):
    file, path = tmp_path / "pid", tmp_path / "socket"
    options = {"bind": f"unix:{path}"}
    with Server("--pid", str(file), **options) as killed:
        workers = killed.workers()
        killed.process.kill()
        killed.process.wait()
        wait_until(lambda: all(is_gone(worker) for worker in workers))
        assert file.exists() and path.exists()
        with Server("--pid", str(file), **options) as server:
            assert file.read_text() == f"{server.process.pid}\n"


# HTTP as far as flags go


def test_an_exception_of_the_app_is_a_500():
    with Server() as server:
        assert server.get("/raise")[0] == 500
        assert "as it was told to" in server.log()
        assert server.get("/")[0] == 200


def test_limits():
    with Server("--limit-request-line", "100", "--limit-request-fields", "3") as server:
        assert server.get("/" + "x" * 200)[0] == 414
        assert server.get("/", "A: 1\r\nB: 2\r\n")[0] == 431


def test_the_access_log(tmp_path):
    log = tmp_path / "access"
    with Server("--access-logfile", str(log), "--access-logformat", '%(h)s %(l)s %(u)s "%(r)s" %(m)s %(U)s %(q)s %(H)s %(s)s %(b)s "%(f)s" "%(a)s" %({x-id}i)s') as server:
        server.get("/pid", "Referer: r\r\nUser-Agent: ua\r\nX-Id: 7\r\n")
        wait_until(lambda: "/pid" in log.read_text())
        [pid] = server.workers()
    length = len(str(pid))
    line = next(line for line in log.read_text().splitlines() if "/pid" in line)
    assert line == f'127.0.0.1 - - "GET /pid HTTP/1.1" GET /pid  HTTP/1.1 200 {length} "r" "ua" 7'


def test_sync_closes_after_each_response():
    with Server() as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        connection.request("GET", "/")
        response = connection.getresponse()
        response.read()
        assert response.getheader("Connection") == "close"


# The guide


def test_every_difference_is_in_the_guide():
    """And nothing is there that no test holds both to."""
    guide = (HERE.parents[1] / "docs" / "from-gunicorn.md").read_text()
    rows = [f"| {what} | {gunicorn} | {rserve} | {why} |" for what, (gunicorn, rserve, why) in DIFFERENCES.items()]
    section = guide.split("## Where they differ\n")[1].split("\n## ")[0]
    found = [row for row in section.splitlines() if row.startswith("| ") and not re.match(r"\| (what|---)", row)]
    assert sorted(found) == sorted(rows)
