"""A Django app behind the server: forms, sessions in a database, uploads, streams, files."""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from conftest import RUNS
from serving import APPS, PATIENCE, Server


@pytest.fixture(params=RUNS, scope="module")
def django(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("django")
    (folder / "file").write_bytes(bytes(range(256)) * 1000)
    env = {"DATABASE": str(folder / "db"), "FILE": str(folder / "file"), "DJANGO_SETTINGS_MODULE": "shop.settings"}
    command = [sys.executable, "-m", "django", "migrate", "--run-syncdb", "--verbosity", "0"]
    subprocess.run(command, cwd=APPS, env={**os.environ, **env, "PYTHONPATH": str(APPS)}, check=True)
    options, app = RUNS[request.param]
    name = "shop.wsgi" if app == "app" else f"shop.wsgi:{app}"
    with Server(name, *options, "--keep-alive", "5", env=env) as server:
        yield server
    assert "AssertionError" not in server.log(), server.log()


@pytest.fixture
def client():
    with requests.Session() as session:
        session.request = lambda *args, _request=session.request, **kwargs: _request(*args, timeout=PATIENCE, **kwargs)
        yield session


def test_templates_and_forms(django, client):
    page = client.get(f"{django.url}/").text
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)[1]
    form = {"csrfmiddlewaretoken": token, "name": "B\u00e4r & Co", "price": "7"}
    assert client.post(f"{django.url}/", data={**form, "csrfmiddlewaretoken": "x"}).status_code == 403
    assert "Enter a whole number" in client.post(f"{django.url}/", data={**form, "price": "x"}).text
    answer = client.post(f"{django.url}/", data=form)
    assert answer.history[0].status_code == 302
    assert "Saved" in answer.text and "<li>B\u00e4r &amp; Co: 7</li>" in answer.text


def test_sessions(django, client):
    assert [client.get(f"{django.url}/visits").json()["visits"] for _ in range(3)] == [1, 2, 3]


@pytest.mark.parametrize("size", [1, 100_000, 5_000_000])
def test_uploads(django, client, size):
    answer = client.post(f"{django.url}/upload", files={"file": ("b.bin", os.urandom(size))}, data={"note": "\u00fcber"})
    assert answer.json() == {"name": "b.bin", "size": size, "note": "\u00fcber"}


def test_chunked_uploads(django, client):
    answer = client.post(f"{django.url}/raw", data=iter([b"0123456789", b"x" * 90_000]))
    assert answer.json() == {"first": "0123456789", "size": 90_010}


def test_a_stream_from_the_database_among_other_requests(django, client):
    client.post(f"{django.url}/fill?rows=20000")
    rows = len(client.get(f"{django.url}/stream").text.splitlines())
    assert rows >= 20_000

    def read(_):
        return len(requests.get(f"{django.url}/stream", timeout=PATIENCE).text.splitlines())

    def visit(_):
        return requests.get(f"{django.url}/visits", timeout=PATIENCE).json()["visits"]

    with ThreadPoolExecutor(6) as pool:
        reads, visits = pool.map(read, range(3)), pool.map(visit, range(30))
        assert list(visits) == [1] * 30
        assert list(reads) == [rows] * 3


def test_files(django, client):
    answer = client.get(f"{django.url}/file")
    assert answer.content == bytes(range(256)) * 1000
    assert answer.headers["Content-Disposition"] == 'inline; filename="file.bin"'


def test_where_am_i(django, client):
    seen = client.get(f"{django.url}/where", headers={"X-Forwarded-Proto": "https"}).json()
    assert seen == {"url": f"https://127.0.0.1:{django.port}/where", "secure": True}


def test_errors_and_signals(django, client):
    assert client.get(f"{django.url}/fail").status_code == 500
    django.wait_for("RuntimeError: failed in a view")
    assert client.get(f"{django.url}/nothing").status_code == 404
    django.wait_for("request finished")


def test_many_requests(django, client):
    for number in range(1, 200):
        assert client.get(f"{django.url}/visits").json()["visits"] == number
