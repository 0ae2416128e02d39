"""What Python apps have to do with the logs: the access log, and what they print."""

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import urllib.request

import pytest
from serving import PATIENCE, RSERVE, Server, wait_until

APP = """
import os, sys

def app(environ, start_response):
    environ["app.user"] = "ann"
    path = environ["PATH_INFO"]
    if path == "/print":
        print("printed by the app", flush=True)
        os.write(2, b"written by the app\\n")
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Served-By", path)])
    return (b"piece" for _ in range(1000)) if path == "/stream" else [b"whole"]
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "served.py").write_text(APP)
    return tmp_path


def get(url, path):
    with urllib.request.urlopen(url + path, timeout=PATIENCE) as response:
        return response.read()


@contextlib.contextmanager
def logging_to_a_file(folder, *options):
    """A server that logs to the file `log` in the folder, and its address."""
    log = folder / "log"
    process = subprocess.Popen([*RSERVE, "--log-file", "log", *options, "served:app"], cwd=folder)
    try:
        wait_until(lambda: log.exists() and "listening" in log.read_text())
        yield process, log, re.search(r"http://127\.0\.0\.1:\d+", log.read_text())[0]
    finally:
        process.terminate()
        assert process.wait(PATIENCE) == 0


def test_each_call_of_the_app_is_in_the_access_log(folder, worker_class):
    access = folder / "access"
    form = "%(U)s %(s)s %(B)s %({x-served-by}o)s %({user-agent}i)s %({app.user}e)s"
    words = [*worker_class, "--workers", "2", "--access-logfile", "access", "--access-logformat", form]
    with Server("served:app", *words, cwd=folder) as server:
        for path in ["/a%20b", "/stream"] * 3:
            get(server.url, path)
    lines = sorted(re.sub(r"Python-urllib/\S+", "urllib", line) for line in access.read_text().splitlines())
    assert lines == ["/a b 200 5 /a b urllib -"] * 3 + ["/stream 200 5000 /stream urllib -"] * 3


def test_the_access_log_as_json(folder):
    access = folder / "access"
    words = ["--access-logfile", "access", "--access-logformat", "json"]
    with Server("served:app", *words, cwd=folder) as server:
        get(server.url, "/a?b=c")
    line = json.loads(access.read_text())
    expected = {"method": "GET", "path": "/a", "query": "b=c", "status": 200, "bytes": 5, "remote_addr": "127.0.0.1"}
    assert {name: line[name] for name in expected} == expected


def test_what_the_app_prints_is_captured_and_follows_a_rotation(folder):
    with logging_to_a_file(folder, "--capture-output") as (process, log, url):
        get(url, "/print")
        text = log.read_text()
        assert "printed by the app\n" in text and "written by the app\n" in text, text
        old = log.rename(folder / "log.1")
        process.send_signal(signal.SIGUSR1)
        wait_until(lambda: log.exists() and "SIGUSR1" in log.read_text())
        # Its worker follows at once, but not in the middle of a request.
        wait_until(lambda: get(url, "/print") == b"whole" and "written by the app" in log.read_text())
        assert "printed by the app\n" in log.read_text() and "SIGUSR1" not in old.read_text()


@pytest.mark.parametrize(("variables", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True)])
def test_only_a_terminal_has_colours_and_not_if_it_wants_none(folder, variables, coloured):
    terminal, theirs = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    process = subprocess.Popen([*RSERVE, "served:app"], cwd=folder, env={**environment, **variables}, stderr=theirs)
    os.close(theirs)
    text = ""
    while "listening" not in text:
        text += os.read(terminal, 4096).decode()
    process.terminate()
    assert process.wait(PATIENCE) == 0
    os.close(terminal)
    assert ("\x1b[" in text) == coloured, text


def test_a_file_has_no_colours(folder):
    with logging_to_a_file(folder) as (_, log, _):
        assert "\x1b" not in log.read_text()
