"""Apps that fail, and clients that leave: the client sees it, the log says it, and the worker lives."""

import os
import signal
import socket
import struct

import pytest
from conftest import CLASSES
from serving import Server

# What is wrong, and what the log says of it.
REFUSED = {
    "raises_before": "RuntimeError: raised before",
    "raises_unprintable": r"ValueError: raised for caf\\udce9",
    "recurses": "RecursionError: maximum recursion depth exceeded",
    "recurses_within_c": "RecursionError: maximum recursion depth exceeded",
    "runs_out_of_memory": "MemoryError",
    "raises_generator_exit": "GeneratorExit: raised, but no generator",
    "raises_after": "RuntimeError: raised after",
    "raises_in_the_head": "TypeError: the response headers are callable_iterator",
    "raises_first": "RuntimeError: raised first",
    "raises_in_iter": "RuntimeError: raised in iter",
    "exits": "SystemExit: exited",
    "interrupts": "KeyboardInterrupt: interrupted",
    "starts_never": "RuntimeError: the app did not call start_response",
    "starts_never_and_gives_nothing": "RuntimeError: the app did not call start_response",
    "starts_never_in_iteration": "RuntimeError: the app did not call start_response",
    "starts_twice": "AssertionError: start_response was called before, and no exc_info is given now",
    "returns_none": "TypeError: the app returned NoneType",
    "returns_a_number": "TypeError: the app returned int",
    "returns_a_str": "TypeError: the app returned str",
    "returns_bytes": "TypeError: the app returned bytes",
    "returns_strs": "TypeError: a piece of the response body is str",
    "yields_a_str": "TypeError: a piece of the response body is str",
    "returns_numbers": "TypeError: a piece of the response body is int",
    "status_is_a_number": "TypeError: the status is int",
    "status_is_bytes": "TypeError: the status is bytes",
    "status_is_no_status": "ValueError: the status \"OK\" is not like '200 OK'",
    "status_is_interim": "ValueError: the status \"100 Continue\" is an interim one",
    "status_has_two_lines": "ValueError: the status .* is not like '200 OK'",
    "headers_are_a_dict": "TypeError: the response headers are dict",
    "header_is_no_pair": "TypeError: the response header .* is not a tuple of name and value",
    "header_name_is_bytes": "TypeError: a header name is bytes",
    "header_name_is_no_token": "ValueError: the response header name \"Content Type\" is not a token",
    "header_value_is_a_number": "TypeError: the value of the response header X-Number is int",
    "header_value_has_two_lines": "ValueError: the value of the response header X-Value has characters",
    "header_value_is_no_latin": "ValueError: the value of the response header X-Value has characters",
    "content_length_is_no_number": "malformed or repeated Content-Length",
    "content_length_is_wrong": "Content-Length 3 for a body of 4 bytes",
    "writes_a_str": "TypeError: .*str",
    "writes_too_early": "the app did not call start_response",
    "start_response_without_arguments": "TypeError: .*start_response|missing 2 required positional arguments",
}

# It shows only when part of the answer is with the client.
CUT = {
    "raises_in_iteration": "RuntimeError: raised in iteration",
    "starts_twice_in_iteration": "AssertionError: start_response was called before",
    "yields_a_str_later": "TypeError: a piece of the response body is str",
}


@pytest.fixture(scope="module", params=CLASSES)
def server(request):
    with Server("misbehaving:app", *CLASSES[request.param]) as server:
        yield server
        assert "secret" not in server.log(), server.log()
        assert "panicked" not in server.log(), server.log()


@pytest.fixture(autouse=True)
def the_worker_lives(server):
    pids = server.workers()
    yield
    assert server.get("/good")[2] == b"good"
    assert server.workers() == pids, server.log()


@pytest.mark.parametrize("app", REFUSED)
def test_what_fails_before_the_answer_is_a_500(server, app):
    status, headers, body = server.get(f"/{app}")
    assert status == 500, body
    assert "x-injected" not in headers
    server.wait_for(rf"ERROR.*GET /{app} HTTP/1.1|request=GET /{app} ")
    server.wait_for(REFUSED[app])


@pytest.mark.parametrize("app", CUT)
def test_what_fails_within_the_answer_cuts_it(server, app):
    answer = server.raw(f"GET /{app} HTTP/1.1\r\nHost: a\r\n\r\n")
    assert b"begun" in answer and not answer.endswith(b"0\r\n\r\n")
    server.wait_for(rf"GET /{app} HTTP/1.1")
    server.wait_for(CUT[app])


def test_what_fails_in_close_is_only_logged(server):
    assert server.get("/raises_in_close")[2] == b"all is well"
    server.wait_for("GET /raises_in_close HTTP/1.1")
    server.wait_for("RuntimeError: raised in close")


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@pytest.mark.parametrize("leave", [socket.socket.close, reset])
def test_a_client_that_leaves_within_the_answer(leave):
    with Server("plain:app") as server:
        for number in range(1, 4):
            with server.connection() as connection:
                connection.sendall(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
                assert connection.recv(100_000)
                leave(connection)
            server.wait_for("closed endless", number)
        assert server.get("/pid")[0] == 200
        assert "ERROR" not in server.log(), server.log()


@pytest.mark.parametrize("sent", ["POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc", "GET / HTT"])
def test_a_client_that_leaves_within_its_request(sent):
    with Server("plain:app") as server:
        for leave in (socket.socket.close, reset):
            with server.connection() as connection:
                connection.sendall(sent.encode())
                leave(connection)
        assert server.get("/pid")[0] == 200
        assert "ERROR" not in server.log(), server.log()


def test_a_client_that_leaves_a_large_body_unread_by_the_app():
    with Server("plain:app") as server:
        with server.connection() as connection:
            connection.sendall(b"POST /pid HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 500_000)
            reset(connection)
        assert server.get("/pid")[0] == 200


def test_a_worker_that_is_killed_within_a_request_is_replaced():
    with Server("plain:app") as server:
        pid = int(server.get("/pid")[2])
        with server.connection() as connection:
            connection.sendall(b"GET /stuck HTTP/1.1\r\nHost: a\r\n\r\n")
            server.wait_for("stuck now")
            os.kill(pid, signal.SIGKILL)
            assert connection.recv(100) == b""
        server.wait_until(lambda: server.workers() not in ([], [pid]))
        assert int(server.get("/pid")[2]) != pid
