"""Where gunicorn and rserve differ. Each is a row of docs/from-gunicorn.md, and a test holds both to it."""

from server import NAME

# What, gunicorn's outcome and rserve's as the test sees them, in words, and why.
DIFFERENCES = {}


def differs(what, gunicorn, rserve, why):
    """What the server under test is to do."""
    DIFFERENCES[what] = (gunicorn, rserve, why)
    return {"gunicorn": gunicorn, "rserve": rserve}[NAME]
