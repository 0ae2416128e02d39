"""A Flask app behind the server, driven by a client that people use."""

import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from conftest import RUNS
from serving import PATIENCE, Server


@pytest.fixture(params=RUNS, scope="module")
def flask(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("flask") / "file"
    path.write_bytes(bytes(range(256)) * 1000)
    options, app = RUNS[request.param]
    with Server(f"flask_app:{app}", *options, "--keep-alive", "5", env={"FILE": str(path)}) as server:
        yield server
    assert "AssertionError" not in server.log(), server.log()


@pytest.fixture
def client():
    with requests.Session() as session:
        session.request = lambda *args, _request=session.request, **kwargs: _request(*args, timeout=PATIENCE, **kwargs)
        yield session


def test_templates_forms_and_sessions(flask, client):
    assert "Who are you?" in client.get(f"{flask.url}/").text
    answer = client.post(f"{flask.url}/login", data={"user": "Zo\xeb <3"})
    assert answer.history[0].status_code == 302
    assert "Welcome" in answer.text and "Hello, Zo\xeb &lt;3!" in answer.text
    assert "Welcome" not in client.get(f"{flask.url}/").text
    assert [client.get(f"{flask.url}/visits").json()["visits"] for _ in range(3)] == [1, 2, 3]


@pytest.mark.parametrize("size", [0, 1, 100_000, 5_000_000])
def test_uploads(flask, client, size):
    files = {"file": ("a/../b c.bin", os.urandom(size))}
    answer = client.post(f"{flask.url}/upload", files=files, data={"note": "\u00fcber"})
    assert answer.json() == {"name": "a_.._b_c.bin", "size": size, "note": "\u00fcber"}


def test_json(flask, client):
    assert client.post(f"{flask.url}/json", json={"a": [1, "\u20ac"]}).json() == {"got": {"a": [1, "\u20ac"]}, "steps": ["before"]}
    assert client.post(f"{flask.url}/json", data="{", headers={"Content-Type": "application/json"}).status_code == 400


@pytest.mark.parametrize("size", [0, 10, 100_000, 1_000_000])
def test_chunked_uploads_by_request_stream(flask, client, size):
    body = (b"x" * min(7000, size - start) for start in range(0, size, 7000))
    assert client.post(f"{flask.url}/raw", data=body).json() == {"size": size, "again": 0}


def test_a_limit_on_the_body(flask, client):
    assert client.post(f"{flask.url}/limited", data=b"x" * 1000).json() == {"size": 1000}
    assert client.post(f"{flask.url}/limited", data=b"x" * 1001).status_code == 413
    assert client.post(f"{flask.url}/limited", data=iter([b"x" * 600, b"x" * 600])).status_code == 413
    assert client.get(f"{flask.url}/visits").status_code == 200


@pytest.mark.parametrize("rows", [0, 1, 3, 50_000])
def test_streams_with_the_context_of_their_request(flask, client, rows):
    client.post(f"{flask.url}/login", data={"user": "me"})
    answer = client.get(f"{flask.url}/stream?rows={rows}")
    assert answer.text.splitlines() == [f"{number},{rows},me" for number in range(rows)]


def test_two_streams_at_once_keep_their_contexts(flask):
    """Of both more is given than the kernel takes, so that neither can be sent in one go."""
    rows, ready = 300_000, threading.Barrier(3)

    def read(user):
        with requests.Session() as client:
            client.post(f"{flask.url}/login", data={"user": user}, timeout=PATIENCE)
            ready.wait(PATIENCE)
            with client.get(f"{flask.url}/stream?rows={rows}", stream=True, timeout=PATIENCE) as answer:
                lines = sum(1 for line in answer.iter_lines(65536) if line.endswith(user.encode()))
            return lines

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(read, ["anna", "bert", "carl"])) == [rows] * 3
    assert "ERROR" not in flask.log().replace("ERROR [", ""), flask.log()


def test_server_sent_events(flask, client):
    assert client.get(f"{flask.url}/events").text == "data: 0\n\ndata: 1\n\ndata: 2\n\n"


@pytest.mark.parametrize(
    ("field", "status", "start", "end"),
    [(None, 200, 0, 256_000), ("bytes=0-0", 206, 0, 1), ("bytes=100-70000", 206, 100, 70_001), ("bytes=-5", 206, 255_995, 256_000)],
)
def test_send_file_and_ranges(flask, client, field, status, start, end):
    whole = bytes(range(256)) * 1000
    answer = client.get(f"{flask.url}/file", headers={"Range": field} if field else {})
    assert (answer.status_code, answer.content) == (status, whole[start:end])
    assert int(answer.headers["Content-Length"]) == end - start


def test_conditional_requests(flask, client):
    etag = client.get(f"{flask.url}/file").headers["ETag"]
    answer = client.get(f"{flask.url}/file", headers={"If-None-Match": etag})
    assert (answer.status_code, answer.content) == (304, b"")
    assert client.get(f"{flask.url}/file", headers={"Range": "bytes=999999-"}).status_code == 416
    assert client.head(f"{flask.url}/file").headers["Content-Length"] == "256000"


def test_teardown_and_close_and_logging(flask, client):
    assert client.get(f"{flask.url}/after").json() == {"ok": True}
    flask.wait_for("called on close")
    flask.wait_for("teardown of /after")


def test_where_am_i(flask, client):
    seen = client.get(f"{flask.url}/where?q=%20", headers={"X-Forwarded-Proto": "https"}).json()
    assert seen == {"url": f"https://127.0.0.1:{flask.port}/where?q=%20", "root": "", "remote": "127.0.0.1", "secure": True}


def test_errors(flask, client):
    assert client.get(f"{flask.url}/nothing").text == "nothing here"
    assert client.get(f"{flask.url}/fail").status_code == 500
    flask.wait_for("RuntimeError: failed in a view")
    assert client.get(f"{flask.url}/visits").status_code == 200


def test_a_factory():
    with Server("flask_app:create_app(prefix='/x')") as server:
        assert json.loads(server.get("/where")[2])["remote"] == "127.0.0.1"
