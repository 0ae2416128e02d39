"""What other servers serve in the tests: each answer takes SLEEP_MS milliseconds, 50 by default."""

import os
import time

SLEEP = int(os.environ.get("SLEEP_MS", "50")) / 1000


def app(environ, start_response):
    time.sleep(SLEEP)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "6")])
    return [b"slept\n"]
