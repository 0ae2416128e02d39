"""WSGI apps without a framework: what they are given, and every way to answer."""

import contextvars
import json
import os
import signal
import sys
import threading
from wsgiref.validate import validator


def answer(start_response, body, status="200 OK", headers=()):
    start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body))), *headers])
    return [body]


def environ(environ, start_response):
    seen = {key: value if isinstance(value, (str, bool, list, tuple)) else repr(type(value)) for key, value in environ.items()}
    return answer(start_response, json.dumps(seen).encode())


def read(environ, start_response):
    """What the calls in the query, such as `read(3) line(2)`, give of the body."""
    source, results = environ["wsgi.input"], []
    for call in environ["QUERY_STRING"].split("+"):
        name, _, argument = call.partition("(")
        arguments = [int(argument.rstrip(")"))] if argument.rstrip(")") else []
        result = list(source) if name == "iter" else getattr(source, name)(*arguments)
        pieces = result if isinstance(result, list) else [result]
        results.append([piece.decode("latin-1") for piece in pieces])
    return answer(start_response, json.dumps(results).encode())


def length(environ, start_response):
    total, source = 0, environ["wsgi.input"]
    while piece := source.read(10_000):
        total += len(piece)
    text = f"{total} {environ.get('CONTENT_LENGTH', '-')} {environ.get('HTTP_TRANSFER_ENCODING', '-')}"
    return answer(start_response, text.encode())


def counted(environ, start_response):
    return answer(start_response, str(threading.active_count()).encode())


closed = []


class Iterable:
    """An iterable that takes note of its end."""

    def __init__(self, pieces, name="iterable"):
        self.pieces, self.name = iter(pieces), name

    def __iter__(self):
        return self

    def __next__(self):
        piece = next(self.pieces)
        if isinstance(piece, Exception):
            raise piece
        return piece

    def close(self):
        closed.append(self.name)
        os.write(2, f"closed {self.name}\n".encode())


def stream(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return Iterable([b"one ", b"", b"two ", b"three"])


def held_stream(environ, start_response):
    """Goes on when somebody has asked for /go."""
    start_response("200 OK", [("Content-Type", "text/plain")])

    def pieces():
        yield b"first"
        path = os.environ["GO"]
        while not os.path.exists(path):
            threading.Event().wait(0.01)
        yield b"second"

    return pieces()


def endless(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])

    def pieces():
        while True:
            yield b"x" * 65536

    return Iterable(pieces(), "endless")


variable = contextvars.ContextVar("variable", default=0)


def threads(environ, start_response):
    """Where each piece is made, and where close() runs: the thread, and whether its context is still that of the call."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    called, request = threading.get_ident(), object()
    variable.set(request)

    def is_here():
        return threading.get_ident() == called and variable.get() is request

    class Body(Iterable):
        def close(self):
            os.write(2, f"closed {is_here()}\n".encode())

    count, size = map(int, environ["QUERY_STRING"].split("+"))
    return Body(f"{is_here()}\n".encode().ljust(size, b".") for _ in range(count))


def sized_stream(environ, start_response):
    pieces = [b"a" * int(size) for size in environ["QUERY_STRING"].split("+")]
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "10")])
    return Iterable(pieces, "sized")


def starts_by_name(environ, start_response):
    """With the names that gunicorn and wsgiref have: PEP 3333 asks for none, and some middleware has relied on them."""
    try:
        raise ValueError("no beans")
    except ValueError:
        start_response("503 Out Of Beans", headers=[("Content-Type", "text/plain")], exc_info=sys.exc_info())
    return [b"named"]


def late_start(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"late"


def writes(environ, start_response):
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    write(b"written ")
    write(b"and ")
    return [b"returned"]


def writes_in_stream(environ, start_response):
    write = start_response("200 OK", [("Content-Type", "text/plain")])

    def pieces():
        write(b"a")
        yield b"b"
        write(b"c")
        yield b"d"
        write(b"e")

    return pieces()


def changes_its_mind(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    try:
        raise ValueError("no beans")
    except ValueError:
        start_response("503 Out Of Beans", [("Content-Type", "text/plain")], sys.exc_info())
    return [b"sorry"]


def changes_its_mind_too_late(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])

    def pieces():
        yield b"begun"
        try:
            raise ValueError("too late")
        except ValueError:
            start_response("500 Oh", [("Content-Type", "text/plain")], sys.exc_info())
        yield b"never"

    return pieces()


def file(environ, start_response):
    """From the offset in the query; with the Content-Length that may be there as well."""
    offset, *length = environ["QUERY_STRING"].split("+")
    start_response("200 OK", [("Content-Type", "application/octet-stream"), *(("Content-Length", size) for size in length)])
    opened = open(os.environ["FILE"], "rb")
    opened.seek(int(offset or 0))
    return environ["wsgi.file_wrapper"](opened, 1000)


def status(environ, start_response):
    line = environ["QUERY_STRING"].replace("+", " ")
    start_response(line, [("Content-Type", "text/plain")] if line[:3] not in ("204", "304") else [])
    return [b"body"] if line[:3] not in ("204", "304") else []


def shouts(environ, start_response):
    start_response("299 All Is W\xe9ll", [("x-sHoUt", "1"), ("X-Shout", "2"), ("server", "mine")])
    return (b"shou", b"ted")


def headers(environ, start_response):
    start_response("200 OK", [
        ("Content-Type", "text/plain"), ("X-Latin", "caf\xe9"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"),
        ("X-Space", " padded "),
    ])
    return [b"x"]


def hop_by_hop(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), tuple(environ["QUERY_STRING"].split("="))])
    return [b"hop"]


def errors(environ, start_response):
    stream = environ["wsgi.errors"]
    stream.write("first line\nsecond ")
    stream.writelines(["line\n", "third"])
    stream.flush()
    print("fourth line", file=stream)
    print("fifth \udce9 line", file=stream)
    return answer(start_response, b"ok")


def unended_error(environ, start_response):
    environ["wsgi.errors"].write("a line without an end")
    return answer(start_response, b"ok")


def stuck(environ, start_response):
    print("stuck now", file=sys.stderr, flush=True)
    threading.Event().wait(60)
    return answer(start_response, b"late")


def interrupted(environ, start_response):
    """Runs until the KeyboardInterrupt, which is no server's business to swallow."""
    print("ready for ctrl-c", file=sys.stderr, flush=True)
    while True:
        threading.Event().wait(1)


def pid(environ, start_response):
    return answer(start_response, str(os.getpid()).encode())


ROUTES = {f"/{app.__name__}": app for app in (
    environ, read, length, counted, stream, held_stream, endless, threads, sized_stream, starts_by_name, late_start, writes,
    writes_in_stream, changes_its_mind, changes_its_mind_too_late, file, status, shouts, headers, hop_by_hop, errors, unended_error,
    stuck, interrupted, pid,
)}


def app(environ, start_response):
    route = ROUTES.get(environ["PATH_INFO"])
    return route(environ, start_response) if route else answer(start_response, b"ok")


validated = validator(app)


def factory(text, *, suffix=""):
    return lambda environ, start_response: answer(start_response, (text + suffix).encode())


def broken_factory():
    raise ValueError("no \udce9 factory")


class Namespace:
    inner = staticmethod(app)


async def asgi(scope, receive, send):
    pass


class Asgi:
    async def __call__(self, scope, receive, send):
        pass


asgi_object = Asgi()
application = app
not_callable = "text"


def signalled(signum, frame):
    print("signal handled", signal.Signals(signum).name, file=sys.stderr, flush=True)
