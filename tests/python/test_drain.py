"""A Flask app behind a server that is stopped under load: with --drain-on-term nobody is lost, without it somebody is."""

import re
import subprocess

import pytest
from conftest import CLASSES
from serving import APPS, PROGRAM

# Of what two workers can do, each request being 50 ms, half as much again.
RATES = {"sync": 60, "threaded": 240}


@pytest.mark.parametrize("drain", [True, False], ids=["drain", "no-drain"])
@pytest.mark.parametrize("name", CLASSES)
def test_a_stop_under_load(name, drain):
    check = ["drain-check", "--path", "/slow", "--rate", str(RATES[name]), "--clients", "20", "--stops", "1" if drain else "3"]
    server = [*CLASSES[name], "--workers", "2", *(["--drain-on-term"] if drain else []), "flask_app:app"]
    done = subprocess.run([*PROGRAM, *check, "--", *server], cwd=APPS, capture_output=True, text=True, timeout=120)
    lost, requests = map(int, re.search(r"(\d+) of (\d+) requests were lost", done.stdout).groups())
    assert requests > 50, done.stdout
    assert (lost == 0, done.returncode) == (drain, 0 if drain else 1), done.stdout + done.stderr
