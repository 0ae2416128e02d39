import pytest
from serving import Server

# The classes that a WSGI app runs in; each test that has a `worker_class` is run in all of them.
CLASSES = {
    "sync": ["--worker-class", "sync"],
    "threaded": ["--worker-class", "threaded", "--threads", "4"],
}

# What an app of a framework is run as: in both classes, and with the validator of the standard library around it.
RUNS = {
    **{name: (options, "app") for name, options in CLASSES.items()},
    "validated": (CLASSES["threaded"], "validated"),
}


@pytest.fixture(params=CLASSES)
def worker_class(request):
    return CLASSES[request.param]


@pytest.fixture(params=CLASSES, scope="module")
def plain(request):
    """A server of apps/plain.py, with the validator of the standard library around the app."""
    with Server("plain:validated", *CLASSES[request.param], "--keep-alive", "5") as server:
        yield server
        assert "AssertionError" not in server.log(), server.log()
