"""From the words of the command line to an app."""

import ast
import atexit
import contextlib
import faulthandler
import gc
import importlib
import inspect
import os
import signal
import socket
import stat
import sys
import threading
import traceback

from rserve import _native


class AppError(Exception):
    """The app cannot be had, and it is no Python code that failed: a traceback would say nothing."""


def prepare(path, env):
    """Before an app is loaded: environment variables, and where modules are looked for, the current folder included."""
    os.environ.update(env)
    if not faulthandler.is_enabled():
        # A worker that is stuck is ended by SIGABRT. Without a descriptor behind sys.stderr there is nothing to dump to.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            faulthandler.enable()
    # What `python -m rserve` or a console script has put there stays behind these.
    folders = [os.path.abspath(folder) for folder in path]
    sys.path[:0] = [folder for folder in [*folders, os.getcwd()] if folder not in sys.path]


def load(name):
    """The app by its name, or an AppError."""
    module_name, colon, expression = name.partition(":")
    if not module_name or module_name.startswith("."):
        raise AppError(unreadable(name))
    target, arguments, keywords = parse(expression if colon else "application", name)
    app = find(import_module(module_name, target), target, module_name)
    if arguments is not None:
        app = app(*arguments, **keywords)
    if not callable(app):
        raise AppError(f"'{name}' is {type(app).__name__} and cannot be called: a WSGI app is a callable")
    if any(map(inspect.iscoroutinefunction, (app, type(app).__call__))):
        raise AppError(f"'{name}' is an async app: this server runs WSGI apps; frameworks for ASGI need another server")
    return app


def unreadable(name):
    return f"cannot read '{name}': module:app or module:factory() is needed, with literals as arguments if any"


def parse(expression, name):
    """`app`, `shop.app` or `make("debug", level=3)`: the name, and the arguments if it is a call."""
    try:
        tree = ast.parse(expression, mode="eval").body
        if not isinstance(tree, ast.Call):
            return dotted(tree), None, None
        keywords = {keyword.arg: ast.literal_eval(keyword.value) for keyword in tree.keywords}
        return dotted(tree.func), [ast.literal_eval(argument) for argument in tree.args], keywords
    except (SyntaxError, ValueError, TypeError):
        raise AppError(unreadable(name)) from None


def dotted(tree):
    if isinstance(tree, ast.Attribute):
        return f"{dotted(tree.value)}.{tree.attr}"
    if isinstance(tree, ast.Name):
        return tree.id
    raise ValueError(tree)


def import_module(name, target):
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # A module that the app's module asks for in vain is another matter: there the traceback helps.
        if error.name is None or not (name == error.name or name.startswith(error.name + ".")):
            raise
        hint = ""
        if name.endswith(".py") and os.path.exists(name):
            hint = f"; did you mean '{name[:-3].replace('/', '.')}:{target}'?"
        raise AppError(f"there is no module '{error.name}' (looked in {', '.join(sys.path)}){hint}") from None


def find(module, target, module_name):
    found = module
    for part in target.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise AppError(f"the module '{module_name}' has no '{target}'") from None
    return found


def describe(error):
    """An exception for the log, without the frames above the app's."""
    if isinstance(error, AppError):
        return str(error)
    trace = error.__traceback__
    while trace is not None and is_machinery(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace)).rstrip()


def is_machinery(file):
    return file in (__file__, importlib.__file__) or file.startswith("<frozen importlib")


collects = False


def freeze():
    """Before the first fork: what is there is left alone by the collector, so that workers go on sharing its pages."""
    global collects
    # Frameworks ask for this one in the first request: 1 MiB that each worker would have for itself.
    importlib.import_module("encodings.idna")
    collects = gc.isenabled()
    gc.disable()
    gc.collect()
    gc.freeze()


def enter_worker():
    """In a new worker, before its app is loaded."""
    if collects:
        gc.enable()
    ours = list(listeners())
    os.register_at_fork(before=hold_signals, after_in_parent=release_signals, after_in_child=lambda: leave_worker(ours))


held = threading.local()


def hold_signals():
    """Right before a fork: a SIGTERM that came before the child has let go of our handlers would be lost on it."""
    # Each call may raise what a handler of the app's raises; by the second one the mask is known.
    held.mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def release_signals():
    if (mask := held.__dict__.pop("mask", None)) is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def leave_worker(ours):
    """In a child that the app has forked, as multiprocessing does: it is no worker."""
    _native.leave_worker()
    # Where Python knows of no handler there is one of the server's, which does nothing.
    for signum in SIGNALS:
        if signal.getsignal(signum) is signal.SIG_DFL:
            signal.signal(signum, signal.SIG_DFL)
    release_signals()
    # It would keep a listener alive that everybody else has closed.
    for descriptor, inode in ours:
        with contextlib.suppress(OSError):
            if os.fstat(descriptor).st_ino == inode:
                os.close(descriptor)


SIGNALS = [
    signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGCHLD, signal.SIGTTIN, signal.SIGTTOU,
    signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH,
]


def listeners():
    """The sockets that are, or will be, listened on, with their inodes: a number may stand for something else later."""
    for descriptor in map(int, os.listdir("/proc/self/fd")):
        with contextlib.suppress(OSError):
            status = os.fstat(descriptor)
            if stat.S_ISSOCK(status.st_mode) and is_passive(descriptor):
                yield descriptor, status.st_ino


def is_passive(descriptor):
    with socket.socket(fileno=os.dup(descriptor)) as copy:
        try:
            copy.getpeername()
        except OSError:
            return copy.type == socket.SOCK_STREAM
        return False


def finish():
    """At the end of a worker, what the interpreter does at its end."""
    attempt(threading._shutdown)
    finish_process()


def end_child(raised):
    """Ends a child that the app has forked and that has come back from the app: there is no server around it."""
    code = exit_code(raised)
    finish_process()
    os._exit(code)


def finish_process():
    attempt(atexit._run_exitfuncs)
    for stream in (sys.stdout, sys.stderr):
        # Each is None where its descriptor was closed at the start.
        if stream is not None:
            attempt(stream.flush)


def attempt(task):
    try:
        task()
    except KeyboardInterrupt:
        # The Ctrl-C that ends the worker.
        pass
    except BaseException:
        traceback.print_exc()


def exit_code(raised):
    """What a program ends with that has raised this, or None for nothing; says what Python would say."""
    if raised is None:
        return 0
    if not isinstance(raised, SystemExit):
        traceback.print_exception(raised)
        return 1
    if raised.code is None or isinstance(raised.code, int):
        return (raised.code or 0) & 0xFF
    print(raised.code, file=sys.stderr)
    return 1
