"""The server as a program around Python: loading, forking, signals, exits."""

import contextlib
import http.client
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys

import pytest
from conftest import CLASSES
from serving import APPS, HERE, PATIENCE, RSERVE, Server, wait_until


def run(*words, cwd=APPS, env=None):
    return subprocess.run(
        [*RSERVE, *words], cwd=cwd, capture_output=True, text=True, timeout=PATIENCE, env={**os.environ, "NO_COLOR": "1", **(env or {})}
    )


def is_gone(pid):
    try:
        return "\nState:\tZ" in pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True


@pytest.mark.parametrize("preload", [[], ["--preload"]])
@pytest.mark.parametrize(
    ("app", "says"),
    [
        ("nowhere:app", "there is no module 'nowhere'"),
        ("plain:nothing", "the module 'plain' has no 'nothing'"),
        ("plain:not_callable", "'plain:not_callable' is str and cannot be called"),
        ("plain:factory(", "cannot read 'plain:factory('"),
        (":app", "cannot read ':app'"),
        ("./plain:app", "cannot read './plain:app'"),
        ("plain:asgi", "'plain:asgi' is an async app"),
        ("plain:asgi_object", "'plain:asgi_object' is an async app"),
        ("plain:factory(app)", "cannot read 'plain:factory(app)'"),
        ("plain:factory()", "missing 1 required positional argument: 'text'"),
        ("plain:broken_factory()", r"ValueError: no \udce9 factory"),
        ("plain.py", "did you mean 'plain:application'?"),
        ("broken", "ModuleNotFoundError: No module named 'a_module_that_is_not_there'"),
    ],
)
def test_an_app_that_cannot_be_loaded_ends_the_start(app, says, preload):
    done = run(*preload, app)
    assert done.returncode == 4, done.stderr
    assert says in done.stderr
    assert done.stderr.count(says) == 1
    if app == "broken":
        assert 'broken.py", line 3' in done.stderr and "importlib" not in done.stderr
    if "broken_factory" in app:
        assert 'in broken_factory\n    raise ValueError' in done.stderr and "_load.py" not in done.stderr


@pytest.mark.parametrize(
    ("app", "body"),
    [
        ("plain:app", "ok"),
        ("plain", "ok"),
        ("plain:Namespace.inner", "ok"),
        ("plain:factory('made')", "made"),
        ("plain:factory('made', suffix='-up')", "made-up"),
    ],
)
def test_names_of_apps(app, body):
    with Server(app) as server:
        assert server.get("/other")[2].decode() == body


def test_check_config_loads_the_app():
    assert "ok: app plain:app" in run("--check-config", "plain:app").stdout
    assert run("--check-config", "nowhere:app").returncode == 4


def test_where_modules_and_the_environment_come_from(tmp_path):
    (tmp_path / "module.py").write_text("from plain import app")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "worldly.py").write_text("raise RuntimeError('the wrong one')")
    with Server("worldly:app", "--chdir", str(APPS), "--env", "SHOP=a=b", "-e", "B=c", "--pythonpath", str(tmp_path), cwd=tmp_path / "other") as server:
        assert server.get("/cwd")[2].decode() == str(APPS)
        assert server.get("/variable")[2] == b"a=b"
        assert server.get("/path")[2].decode() == str([str(tmp_path), str(APPS)])


def test_the_class_async_says_which_classes_fit():
    done = run("--worker-class", "async", "plain:app")
    assert done.returncode == 3
    assert "choose sync or threaded" in done.stderr


def test_a_console_script_is_installed():
    script = pathlib.Path(sys.executable).parent / "rserve"
    assert subprocess.run([script, "--version"], capture_output=True, text=True, check=True).stdout.startswith("rserve ")


@pytest.mark.parametrize("into", ["from rserve.__main__ import main; main()", "import backend"], ids=["command", "build"])
def test_free_threaded_builds_are_refused(into):
    """As one is seldom at hand, an ordinary one says that it was built so."""
    words = f"import sysconfig; sysconfig.get_config_vars()['Py_GIL_DISABLED'] = 1; {into}"
    folder = HERE.parent.parent / "crates" / "python"
    done = subprocess.run([sys.executable, "-c", words], cwd=folder, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 1
    assert done.stderr == "error: rserve does not run on free-threaded Python yet: use an ordinary build of CPython\n"


def test_each_worker_imports_the_app_for_itself():
    with Server("worldly:app", "--workers", "2") as server:
        server.wait_for("imported in", 2)
        imported = {int(re.search(r"imported in (\d+)", line)[1]) for line in server.lines if "imported in" in line}
        assert imported == set(server.workers())


def test_preload_imports_once_and_forks_as_python_would():
    with Server("worldly:app", "--workers", "2", "--preload") as server:
        server.wait_for("after fork in child", 2)
        assert f"imported in {server.process.pid}" in server.log()
        assert server.log().count("imported in") == 1
        assert server.log().count("before fork") == 2
        assert int(server.get()[2]) in server.workers()
        assert server.get("/thread")[2] == b"True"


def test_preloaded_threads_are_warned_of():
    with Server("worldly:app", "--workers", "2", "--preload", env={"THREAD_AT_IMPORT": "1"}) as server:
        server.wait_for("WARN.*has started threads")
        assert server.get("/thread")[2] == b"True"
    assert server.log().count("has started threads") == 1


@pytest.mark.parametrize("preload", [[], ["--preload"]])
def test_code_that_has_changed_comes_with_a_reload_or_an_upgrade(tmp_path, preload):
    module = tmp_path / "changing.py"

    def write(code):
        module.write_text(f"import plain\napp = lambda environ, start_response: plain.answer(start_response, {code})\n")

    def served():
        return server.get()[2]

    write("b'old'")
    with Server("changing:app", *preload, "--pythonpath", str(APPS), "--pid", "pid", cwd=tmp_path) as server:
        [old] = server.workers()
        write("b'newer'")
        server.signal("HUP")
        server.wait_until(lambda: old not in server.workers())
        assert served() == (b"old" if preload else b"newer")

        if not preload:
            write("b'broken")
            server.signal("HUP")
            server.wait_for("SyntaxError")
            assert served() == b"newer"

        write("b'the newest'")
        server.signal("USR2")
        successor = int(re.search(r"successor (\d+) serves", server.wait_for(r"successor \d+ serves"))[1])
        try:
            server.signal("TERM")
            assert server.process.wait(PATIENCE) == 0
            assert served() == b"the newest"
        finally:
            os.kill(successor, signal.SIGTERM)
        wait_until(lambda: is_gone(successor))


def test_signal_handlers_run_in_an_idle_worker(worker_class):
    with Server("worldly:app", *worker_class) as server:
        pid = int(server.get()[2])
        os.kill(pid, signal.SIGUSR1)
        server.wait_for(f"handled SIGUSR1 in {pid}")
        os.kill(pid, signal.SIGUSR2)
        server.wait_for("ZeroDivisionError")
        assert int(server.get()[2]) == pid


def test_threads_run_while_the_worker_waits():
    with Server("worldly:app") as server:
        server.get("/start_ticking")
        server.wait_until(lambda: int(server.get("/ticks")[2]) > 5)
        assert server.get("/thread")[2] == b"True"


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing_and_subprocesses(worker_class, method):
    with Server("worldly:app", *worker_class, env={"START_METHOD": method}) as server:
        pid = server.get()[2]
        for _ in range(5):
            assert server.get("/processes")[2] == b"[2, 4, 6]"
        assert server.get()[2] == pid
        assert server.get("/command")[2] == b"said"


def test_a_child_is_ended_by_a_signal_from_its_first_moment_on(worker_class):
    with Server("worldly:app", *worker_class) as server:
        for _ in range(20):
            assert server.get("/fork_and_end")[2] == b"15"


@pytest.mark.parametrize(("how", "code"), [("exits", b"7"), ("raises", b"1"), ("returns", b"0")])
def test_a_child_that_comes_back_from_the_app_ends(worker_class, how, code):
    with Server("worldly:app", *worker_class, env={"COME_BACK": how}) as server:
        pid = server.get()[2]
        for _ in range(3):
            assert server.get("/fork_and_come_back")[2] == code
            assert server.get("/fork_in_pieces")[2] == b"begun " + code
        assert server.get()[2] == pid
        os.kill(int(pid), signal.SIGKILL)
        server.wait_until(lambda: server.workers() not in ([], [int(pid)]))
    # Nor has one counted for the worker.
    assert not re.search(r"\d{9} connections in hand", server.log()), server.log()
    assert ("RuntimeError: raised in the child" in server.log()) == (how == "raises")


def test_a_signal_handler_may_end_the_worker():
    with Server("worldly:app", env={"EXITS_ON_SIGUSR2": "1"}) as server:
        pid = int(server.get()[2])
        os.kill(pid, signal.SIGUSR2)
        server.wait_for(f"worker {pid} exited with code 0")
        server.wait_until(lambda: server.workers() not in ([], [pid]))
        server.wait_for(f"atexit in {pid}")


def test_a_server_does_not_outlive_its_tests():
    tests = "import os, serving; server = serving.Server('plain:app').__enter__(); print(server.process.pid); os.kill(os.getpid(), 9)"
    done = subprocess.run([sys.executable, "-c", tests], cwd=HERE, stdout=subprocess.PIPE, text=True, timeout=PATIENCE)
    wait_until(lambda: is_gone(int(done.stdout)))


def test_a_child_that_outlives_the_server_keeps_no_listener(worker_class):
    with Server("worldly:app", *worker_class) as server:
        # The child holds the connection too, so that its end is not the answer's.
        client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
        client.request("GET", "/fork")
        child = int(client.getresponse().read())
        address = ("127.0.0.1", server.port)
    try:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, PATIENCE)
        os.kill(child, signal.SIGTERM)
        server.wait_until(lambda: is_gone(child))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


def test_warnings_and_logging():
    with Server("worldly:app") as server:
        assert server.get("/warn")[2] == b"warned"
        server.wait_for("UserWarning: beware")
        server.wait_for("logged this")


def test_exit_functions_and_threads_at_the_end(worker_class):
    with Server("worldly:app", *worker_class, "--workers", "2", env={"LINGERING_THREAD": "1"}) as server:
        pids = server.workers()
    for pid in pids:
        assert f"atexit in {pid}" in server.log()
    assert server.log().count("lingering thread ends") == 2


@pytest.mark.parametrize("options", [["--worker-class", "sync"], ["--worker-class", "threaded", "--threads", "1"]])
def test_a_stuck_worker_leaves_a_traceback(options):
    with Server("worldly:app", *options, "--timeout", "1") as server:
        assert server.get("/faults")[2] == b"True"
        pid = int(server.get()[2])
        assert server.raw("GET /sleep HTTP/1.1\r\nHost: a\r\n\r\n") == b""
        server.wait_for("Fatal Python error: Aborted")
        server.wait_for("in sleep_long")
        server.wait_until(lambda: server.workers() not in ([], [pid]))


@pytest.mark.parametrize("busy", [False, True])
def test_ctrl_c(worker_class, busy):
    """It goes to the whole process group, as from a terminal."""
    with Server("worldly:app", *worker_class) as server:
        assert server.get()[0] == 200
        with server.connection() as connection:
            if busy:
                connection.sendall(b"GET /sleep HTTP/1.1\r\nHost: a\r\n\r\n")
                server.wait_for("sleeping in")
            os.killpg(server.process.pid, signal.SIGINT)
            assert server.process.wait(PATIENCE) == 0
    assert server.log().count("KeyboardInterrupt\n") + server.log().endswith("KeyboardInterrupt") <= busy, server.log()


@pytest.mark.parametrize("workers", CLASSES.values(), ids=CLASSES)
def test_workers_preloaded_share_memory(workers):
    """Also after the collector has been through all that it is to look at."""
    # CPython 3.14 takes a third more for the same imports.
    most = 10 if sys.version_info < (3, 14) else 13

    def memory(pid, name):
        smaps = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
        return int(re.search(rf"{name}:\s+(\d+)", smaps)[1])

    with Server("flask_app:app", "--workers", "3", "--preload", *workers) as server:
        for _ in range(300):
            assert server.get("/where")[0] == 200
        sizes = [memory(pid, "Pss") / 1024 for pid in server.workers()]
        assert len(sizes) == 3 and max(sizes) <= most, sizes
        collected = {int(server.get("/collect")[2]) for _ in range(100)}
        parts = [memory(pid, "Private_Dirty") / memory(pid, "Anonymous") for pid in collected]
        assert max(parts) <= 0.35, parts


def test_a_worker_is_replaced_after_max_requests_without_loss():
    with Server("worldly:app", "--max-requests", "5", "--max-requests-jitter", "0") as server:
        pids = set()
        server.wait_until(lambda: pids.add(server.get()[2]) or len(pids) >= 3)
