"""Apps that do not keep to PEP 3333, one for each way; and a good one, to see that the worker lives."""

import sys

# Not as it stands in a traceback.
SECRET = "".join(["sec", "ret"])

OK = ("200 OK", [("Content-Type", "text/plain")])


class Closing:
    """Pieces with an end that fails."""

    def __init__(self, *pieces):
        self.pieces = iter(pieces)

    def __iter__(self):
        return self.pieces

    def close(self):
        raise RuntimeError("raised in close")


def raises_before(environ, start_response):
    raise RuntimeError("raised before")


def raises_unprintable(environ, start_response):
    # What os.listdir() gives for a file whose name is no UTF-8.
    raise ValueError("raised for caf\udce9")


def recurses(environ, start_response):
    return recurses(environ, start_response)


class Mirror:
    def __getattr__(self, name):
        return getattr(self, name + "'")


def recurses_within_c(environ, start_response):
    limit = sys.getrecursionlimit()
    # As deep as a thread of Python's own bears.
    sys.setrecursionlimit(9000)
    try:
        return Mirror().it
    finally:
        sys.setrecursionlimit(limit)


def runs_out_of_memory(environ, start_response):
    return [b"x" * 2**50]


def raises_generator_exit(environ, start_response):
    raise GeneratorExit("raised, but no generator")


def raises_after(environ, start_response):
    start_response(*OK)
    raise RuntimeError("raised after")


def raises_in_the_head(environ, start_response):
    start_response("200 OK", iter(lambda: 1 / 0, None))


def raises_first(environ, start_response):
    start_response(*OK)
    raise RuntimeError("raised first")
    yield b"never"


def raises_in_iteration(environ, start_response):
    start_response(*OK)
    yield b"begun"
    raise RuntimeError("raised in iteration")


def raises_in_iter(environ, start_response):
    start_response(*OK)

    class Bad:
        def __iter__(self):
            raise RuntimeError("raised in iter")

    return Bad()


def raises_in_close(environ, start_response):
    start_response(*OK)
    return Closing(b"all is well")


def exits(environ, start_response):
    sys.exit("exited")


def interrupts(environ, start_response):
    raise KeyboardInterrupt("interrupted")


def starts_never(environ, start_response):
    return [b"body"]


def starts_never_and_gives_nothing(environ, start_response):
    return []


def starts_never_in_iteration(environ, start_response):
    yield b"body"


def starts_twice(environ, start_response):
    start_response(*OK)
    start_response(*OK)
    return [b"body"]


def starts_twice_in_iteration(environ, start_response):
    start_response(*OK)
    yield b"begun"
    start_response(*OK)
    yield b"never"


def returns_none(environ, start_response):
    start_response(*OK)


def returns_a_number(environ, start_response):
    start_response(*OK)
    return 7


def returns_a_str(environ, start_response):
    start_response(*OK)
    return "text"


def returns_bytes(environ, start_response):
    start_response(*OK)
    return b"bytes"


def returns_strs(environ, start_response):
    start_response(*OK)
    return ["text"]


def yields_a_str(environ, start_response):
    start_response(*OK)
    yield "text"


def yields_a_str_later(environ, start_response):
    start_response(*OK)
    yield b"begun"
    yield "text"


def returns_numbers(environ, start_response):
    start_response(*OK)
    return [b"a", 7]


def status_is_a_number(environ, start_response):
    start_response(200, OK[1])
    return [b"body"]


def status_is_bytes(environ, start_response):
    start_response(b"200 OK", OK[1])
    return [b"body"]


def status_is_no_status(environ, start_response):
    start_response("OK", OK[1])
    return [b"body"]


def status_is_interim(environ, start_response):
    start_response("100 Continue", OK[1])
    return [b"body"]


def status_has_two_lines(environ, start_response):
    start_response("200 OK\r\nX-Injected: 1", OK[1])
    return [b"body"]


def headers_are_a_dict(environ, start_response):
    start_response("200 OK", {"Content-Type": "text/plain"})
    return [b"body"]


def header_is_no_pair(environ, start_response):
    start_response("200 OK", [("Content-Type",)])
    return [b"body"]


def header_name_is_bytes(environ, start_response):
    start_response("200 OK", [(b"Content-Type", "text/plain")])
    return [b"body"]


def header_name_is_no_token(environ, start_response):
    start_response("200 OK", [("Content Type", "text/plain")])
    return [b"body"]


def header_value_is_a_number(environ, start_response):
    start_response("200 OK", [("X-Number", 7)])
    return [b"body"]


def header_value_has_two_lines(environ, start_response):
    start_response("200 OK", [("X-Value", SECRET + "\r\nX-Injected: 1")])
    return [b"body"]


def header_value_is_no_latin(environ, start_response):
    start_response("200 OK", [("X-Value", SECRET + "\u20ac")])
    return [b"body"]


def content_length_is_no_number(environ, start_response):
    start_response("200 OK", [("Content-Length", "many")])
    return [b"body"]


def content_length_is_wrong(environ, start_response):
    start_response("200 OK", [("Content-Length", "3")])
    return [b"body"]


def writes_a_str(environ, start_response):
    start_response(*OK)("text")
    return []


def writes_too_early(environ, start_response):
    start_response.write(b"early")
    return [b"body"]


def start_response_without_arguments(environ, start_response):
    start_response()


def good(environ, start_response):
    start_response(*OK)
    return [b"good"]


def app(environ, start_response):
    return globals()[environ["PATH_INFO"][1:]](environ, start_response)
