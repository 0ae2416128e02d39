"""Bodies that are made piece by piece, beside other requests: each stays with the thread that has called the app."""

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import CLASSES
from serving import Server, parse, receive_all

THREADS = 4
THREADED = CLASSES["threaded"]


@contextlib.contextmanager
def unread(server, count):
    """So many responses that nobody reads, each of more than the kernel takes."""
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(server.connection()) for _ in range(count)]
        for connection in connections:
            connection.sendall(b"GET /threads?200+100000 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert connection.recv(1000)
        yield connections


@pytest.mark.parametrize(("count", "size"), [(2, 10), (500, 10), (60, 50_000), (6, 1_000_000)])
def test_pieces_and_close_stay_with_the_thread(worker_class, count, size):
    with Server("plain:app", *worker_class) as server:
        def read(_):
            with server.connection() as connection:
                connection.sendall(f"GET /threads?{count}+{size} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
                return parse(receive_all(connection))[2]

        with ThreadPoolExecutor(8) as pool:
            for body in pool.map(read, range(16)):
                assert len(body) == count * size
                assert body.count(b"True\n") == count
        server.wait_for("closed True", 16)
        assert "closed False" not in server.log()


def test_threads_that_wait_for_clients_are_not_stuck():
    with Server("plain:app", *THREADED, "--timeout", "1") as server:
        workers = server.workers()
        with unread(server, THREADS) as connections:
            time.sleep(2.5)  # the test: more than twice the time after which a worker that is stuck is killed
            assert server.workers() == workers
            body = receive_all(connections[0])
            assert body.count(b"True\n") + body.count(b"False\n") >= 199 and b"False" not in body
            assert server.get("/pid")[0] == 200
        server.wait_for("closed True", THREADS)
    assert "closed False" not in server.log() and "ERROR" not in server.log(), server.log()


def test_a_client_that_does_not_read_gives_its_thread_back():
    with Server("plain:app", *THREADED, "--write-timeout", "1") as server, unread(server, THREADS):
        assert server.get("/pid")[0] == 200
        server.wait_for("closed True", THREADS)


@pytest.mark.parametrize("stop", ["TERM", "QUIT"])
def test_a_stop_while_threads_wait_for_clients(stop):
    with Server("plain:app", *THREADED, "--graceful-timeout", "60") as server, unread(server, THREADS) as connections:
        server.signal(stop)
        if stop == "TERM":
            with ThreadPoolExecutor(THREADS) as pool:
                assert all(body.endswith(b"\r\n0\r\n\r\n") for body in pool.map(receive_all, connections))
