"""An app with Python's own world around it: signal handlers, atexit, threads, processes, warnings, logging."""

import atexit
import faulthandler
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import warnings

logging.basicConfig(level=logging.INFO, format="logged %(message)s")


def say(*words):
    os.write(2, (" ".join(map(str, words)) + "\n").encode())


say("imported in", os.getpid(), "threads", threading.active_count())
atexit.register(lambda: say("atexit in", os.getpid()))
os.register_at_fork(before=lambda: say("before fork"), after_in_child=lambda: say("after fork in child"))
signal.signal(signal.SIGUSR1, lambda *_: say("handled SIGUSR1 in", os.getpid()))
signal.signal(signal.SIGUSR2, lambda *_: sys.exit() if os.environ.get("EXITS_ON_SIGUSR2") else 1 / 0)

if os.environ.get("THREAD_AT_IMPORT"):
    threading.Thread(target=threading.Event().wait, daemon=True).start()
if os.environ.get("LINGERING_THREAD"):
    def linger():
        threading.main_thread().join()
        say("lingering thread ends")
    threading.Thread(target=linger).start()


def answer(start_response, text):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(text).encode()]


def double(number):
    return 2 * number


def app(environ, start_response):
    if environ["PATH_INFO"] == "/fork_in_pieces":
        return fork_in_pieces(environ, start_response)
    return answer(start_response, ROUTES[environ["PATH_INFO"]]())


def thread():
    result = []
    worker = threading.Thread(target=lambda: result.append(threading.current_thread() is not threading.main_thread()))
    worker.start()
    worker.join()
    return result[0] and threading.current_thread() is threading.main_thread()


ticks = 0


def tick():
    global ticks
    while True:
        threading.Event().wait(0.01)
        ticks += 1


def start_ticking():
    threading.Thread(target=tick, daemon=True).start()
    return "started"


def processes():
    with multiprocessing.get_context(os.environ.get("START_METHOD", "fork")).Pool(2) as pool:
        return pool.map(double, [1, 2, 3])


def command():
    return subprocess.run(["echo", "said"], capture_output=True, text=True, check=True).stdout.strip()


def warn():
    warnings.warn("beware", stacklevel=1)
    logging.info("this")
    return "warned"


def sleep_long():
    say("sleeping in", os.getpid())
    threading.Event().wait(60)


def faults():
    return faulthandler.is_enabled()


def fork():
    child = os.fork()
    if child == 0:
        # The test reads the server's standard error to its end.
        os.close(2)
        while True:
            signal.pause()
    return child


def fork_and_end():
    """The signal comes before the child has done anything."""
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        signal.pause()
    os.kill(child, signal.SIGTERM)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) * -1


def fork_and_come_back():
    """The child comes back from the view, and raises what the environment says."""
    child = os.fork()
    if child == 0:
        how = os.environ["COME_BACK"]
        if how == "exits":
            sys.exit(7)
        if how == "raises":
            raise RuntimeError("raised in the child")
        return "the child's answer"
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def fork_in_pieces(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"begun "
    yield str(fork_and_come_back()).encode()


ROUTES = {
    "/": os.getpid, "/thread": thread, "/start_ticking": start_ticking, "/ticks": lambda: ticks, "/processes": processes,
    "/command": command, "/warn": warn, "/sleep": sleep_long, "/faults": faults, "/fork": fork, "/fork_and_end": fork_and_end,
    "/fork_and_come_back": fork_and_come_back,
    "/cwd": os.getcwd, "/variable": lambda: os.environ.get("SHOP", "none"), "/path": lambda: sys.path[:2],
}
