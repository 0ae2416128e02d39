"""A gunicorn or an rserve, as SERVER_UNDER_TEST says, on a free port."""

import contextlib
import http.client
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

NAME = os.environ.get("SERVER_UNDER_TEST", "rserve")
assert NAME in ("gunicorn", "rserve"), NAME
HERE = pathlib.Path(__file__).parent
PATIENCE = 30
# Whatever becomes of the tests, no server outlives them.
COMMAND = ["setpriv", "--pdeathsig", "KILL", sys.executable, "-m", NAME]
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in ("WEB_CONCURRENCY", "GUNICORN_CMD_ARGS", "RSERVE_CMD_ARGS")}
CMD_ARGS = f"{NAME.upper()}_CMD_ARGS"


def run(*words, env=None, cwd=HERE):
    """Runs it to its end: the exit code, and all that it has written."""
    done = subprocess.run(
        [*COMMAND, *words], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=PATIENCE, env={**ENVIRONMENT, **(env or {})}
    )
    return done.returncode, done.stdout


def wait_until(condition, patience=PATIENCE):
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "in vain"
        time.sleep(0.01)


def children(pid):
    with contextlib.suppress(OSError):
        return [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split() if not is_gone(int(child))]
    return []


def is_gone(pid):
    try:
        return "\nState:\tZ" in pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


class Server:
    """Use it in a `with`, at whose end nothing of it runs."""

    def __init__(self, *options, env=None, bind=None, cwd=HERE, app="app:app"):
        self.port = free_port()
        self.bind = bind or f"127.0.0.1:{self.port}"
        self.log_file = tempfile.TemporaryFile("w+")
        words = [*COMMAND, "--bind", self.bind, *options, *([app] if app else [])]
        self.process = subprocess.Popen(words, cwd=cwd, env={**ENVIRONMENT, **(env or {})}, stdout=self.log_file, stderr=self.log_file, start_new_session=True)

    def __enter__(self):
        def answers():
            assert self.process.poll() is None, self.log()
            with contextlib.suppress(OSError):
                return self.get("/")[0] == 200

        wait_until(answers)
        return self

    def __exit__(self, *_):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE)

    def log(self):
        self.log_file.seek(0)
        return self.log_file.read()

    def connect(self):
        if self.bind.startswith("unix:"):
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(self.bind.removeprefix("unix:"))
            return connection
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE)

    def raw(self, request):
        with self.connect() as connection:
            connection.sendall(request)
            received = b""
            with contextlib.suppress(ConnectionResetError):
                while piece := connection.recv(65536):
                    received += piece
            return received

    def get(self, path, fields=""):
        """The status and the body."""
        answer = self.raw(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n".encode())
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split(None, 2)[1]) if head else None, body.decode()

    def in_hand(self, seconds):
        """A connection whose request, which takes so long, a worker has in hand."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        with tempfile.TemporaryDirectory() as folder:
            mark = pathlib.Path(folder, "begun")
            connection.request("GET", f"/sleep?{seconds},{mark}")
            wait_until(mark.exists)
        return connection

    def workers(self):
        return children(self.process.pid)

    def wait_for_workers(self, condition):
        wait_until(lambda: condition(self.workers()))
        return self.workers()

    def send(self, what):
        self.process.send_signal(what)

    def end(self, what=signal.SIGTERM):
        """The exit code, and how long that took."""
        start = time.monotonic()
        self.send(what)
        return self.process.wait(PATIENCE), time.monotonic() - start
