"""Starts an rserve on a free port, and talks to it as clients do."""

import contextlib
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).parent
APPS = HERE / "apps"
PATIENCE = 30


# Whatever becomes of the tests, no server outlives them.
PROGRAM = ["setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "rserve"]
RSERVE = [*PROGRAM, "--bind", "127.0.0.1:0"]


class Server:
    """One server, with what it has logged. Use it in a `with`, which also checks that it stops as it should."""

    def __init__(self, app, *options, env=None, cwd=APPS, exit_code=0):
        command = [*RSERVE, *options, app]
        environment = {**os.environ, "NO_COLOR": "1", "PYTHONDONTWRITEBYTECODE": "1", **(env or {})}
        self.exit_code = exit_code
        self.lines = []
        self.changed = threading.Condition()
        self.process = subprocess.Popen(
            command, cwd=cwd, env=environment, stderr=subprocess.PIPE, text=True, errors="replace", start_new_session=True
        )
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stderr:
            with self.changed:
                self.lines.append(line.rstrip("\n"))
                self.changed.notify_all()

    def __enter__(self):
        line = self.wait_for(r"listening on .*http://127\.0\.0\.1:\d+")
        self.port = int(re.search(r"http://127\.0\.0\.1:(\d+)", line)[1])
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    def __exit__(self, kind, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise AssertionError(f"it does not stop:\n{self.log()}") from None
        self.reader.join(PATIENCE)
        if kind is None:
            assert code == self.exit_code, self.log()

    def log(self):
        return "\n".join(self.lines)

    def wait_for(self, pattern, count=1):
        """The line of the log with this pattern in it, once there is one (or the count-th)."""
        deadline = time.monotonic() + PATIENCE
        with self.changed:
            while True:
                found = [line for line in self.lines if re.search(pattern, line)]
                if len(found) >= count:
                    return found[count - 1]
                left = deadline - time.monotonic()
                assert left > 0, f"{pattern!r} is not in the log:\n{self.log()}"
                if self.process.poll() is not None:
                    self.changed.wait(min(left, 0.2))
                    assert self.reader.is_alive() or any(re.search(pattern, line) for line in self.lines), self.log()
                self.changed.wait(min(left, 0.5))

    def wait_until(self, condition):
        wait_until(condition, self.log)

    def signal(self, name):
        self.process.send_signal(getattr(signal, f"SIG{name}"))

    def workers(self):
        """The pids of the arbiter's children."""
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    @contextlib.contextmanager
    def connection(self):
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as connection:
            yield connection

    def raw(self, request):
        """All that comes back until the server closes."""
        with self.connection() as connection:
            connection.sendall(request.encode("latin-1") if isinstance(request, str) else request)
            return receive_all(connection)

    def get(self, path="/", headers="", method="GET", body=b"", version="1.1"):
        """The answer as (status, headers in lower case, body), of a request on a connection of its own."""
        if body and "length" not in headers.lower() and "chunked" not in headers.lower():
            headers += f"Content-Length: {len(body)}\r\n"
        head = f"{method} {path} HTTP/{version}\r\nHost: test.example:8000\r\nConnection: close\r\n{headers}\r\n"
        return parse(self.raw(head.encode("latin-1") + body), method)


def wait_until(condition, log=str):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"in vain:\n{log()}"
        time.sleep(0.01)


def receive_all(connection):
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            received += piece
    return received


def parse(answer, method="GET"):
    head, _, body = answer.partition(b"\r\n\r\n")
    status_line, *lines = head.decode("latin-1").split("\r\n")
    headers = {}
    for line in lines:
        name, _, value = line.partition(": ")
        headers.setdefault(name.lower(), []).append(value)
    headers = {name: ", ".join(values) for name, values in headers.items()}
    if headers.get("transfer-encoding") == "chunked" and method != "HEAD":
        body = unchunk(body)
    return int(status_line.split()[1]), headers, body


def unchunk(body):
    plain = b""
    while True:
        size, _, body = body.partition(b"\r\n")
        length = int(size, 16)
        if length == 0:
            assert body == b"\r\n", body
            return plain
        assert body[length : length + 2] == b"\r\n"
        plain, body = plain + body[:length], body[length + 2 :]
