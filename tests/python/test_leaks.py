"""Many requests over every path leave the process as it was. LEAKS says how many; CI does with few."""

import contextlib
import json
import os
import socket
import struct

import pytest
from serving import Server, receive_all
from test_misbehaving import CUT, REFUSED

REQUESTS = int(os.environ.get("LEAKS", "6000"))

GOOD = ["/environ", "/stream", "/late_start", "/writes", "/headers", "/changes_its_mind", "/file?3", "/good", "/status?204+No"]


def requests():
    """One request of each kind: its bytes, and whether the client leaves in the middle of the answer."""
    for path in [*GOOD, "/sized_stream?4+5", *(f"/{name}" for name in [*REFUSED, *CUT, "raises_in_close"])]:
        yield f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Path: {path}\r\n\r\n".encode(), False
    for size in (10, 100_000):
        head = f"POST /length HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {size}\r\n\r\n"
        yield head.encode() + b"x" * size, False
        yield head.encode() + b"x" * (size - 1), True
    yield b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n", True
    yield b"GET / HTTP/1.1\r\nHo", True


def go_through(server, times):
    for _ in range(times):
        for request, leaves in requests():
            with server.connection() as connection, contextlib.suppress(ConnectionError):
                connection.sendall(request)
                if leaves:
                    connection.settimeout(0.02)
                    with contextlib.suppress(TimeoutError):
                        connection.recv(1000)
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                else:
                    receive_all(connection)


def settled(server):
    """What the process holds, once nothing is under way any more."""
    counts = []
    server.wait_until(lambda: counts.append(json.loads(server.get("/stats")[2])) or counts[-1:] == counts[-2:-1])
    return counts[-1]


@pytest.mark.parametrize("workers", [["sync"], ["threaded", "--threads", "2"]], ids=["sync", "threaded"])
def test_nothing_is_left_behind(workers, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"x" * 10_000)
    options = ["--worker-class", *workers]
    with Server("stats:app", *options, env={"FILE": str(path)}) as server:
        go_through(server, 5)
        before = settled(server)
        go_through(server, max(1, REQUESTS // 2 // sum(1 for _ in requests())))
        after = settled(server)
    assert after["descriptors"] == before["descriptors"]
    # A thread that has not had a request by then keeps something for its next one.
    assert all(abs(after["references"][name] - count) <= 4 for name, count in before["references"].items()), (before, after)
    assert abs(after["objects"] - before["objects"]) < 30, (before, after)
    assert after["kib"] < before["kib"] + 3000, (before, after)
