"""What PEP 3333 promises an app, seen from an app and from a client."""

import json
import os
import random
import socket

import pytest
from serving import Server, parse, receive_all


def environ(server, path="/environ", **request):
    status, _, body = server.get(path, **request)
    assert status == 200, body
    return json.loads(body)


def test_environ_is_complete(plain):
    seen = environ(plain, "/environ?a=1&b=%20", headers="X-Test: one\r\nUser-Agent: me\r\n")
    assert seen["REQUEST_METHOD"] == "GET"
    assert seen["SCRIPT_NAME"] == ""
    assert seen["PATH_INFO"] == "/environ"
    assert seen["QUERY_STRING"] == "a=1&b=%20"
    assert seen["RAW_URI"] == seen["REQUEST_URI"] == "/environ?a=1&b=%20"
    assert seen["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert (seen["SERVER_NAME"], seen["SERVER_PORT"]) == ("127.0.0.1", str(plain.port))
    assert seen["REMOTE_ADDR"] == "127.0.0.1"
    assert 0 < int(seen["REMOTE_PORT"]) < 65536
    assert seen["SERVER_SOFTWARE"].startswith("rserve/")
    assert (seen["HTTP_HOST"], seen["HTTP_X_TEST"], seen["HTTP_USER_AGENT"]) == ("test.example:8000", "one", "me")
    assert "CONTENT_LENGTH" not in seen and "CONTENT_TYPE" not in seen
    assert seen["wsgi.version"] == [1, 0]
    assert seen["wsgi.url_scheme"] == "http"
    assert seen["wsgi.run_once"] is False
    assert seen["wsgi.multiprocess"] is False
    assert seen["wsgi.input_terminated"] is True
    for name in ("wsgi.input", "wsgi.errors", "wsgi.file_wrapper"):
        assert name in seen


def test_a_request_leaves_nothing_to_the_next(plain):
    first = "POST /environ?q HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nContent-Type: text/x\r\nX-Only: here\r\n"
    second = "GET /environ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    with plain.connection() as connection:
        connection.sendall(f"{first}Content-Length: 2\r\n\r\nab{second}".encode())
        answers = receive_all(connection).split(b"HTTP/1.1 ")
    first, second = (json.loads(parse(b"HTTP/1.1 " + answer)[2]) for answer in answers[1:])
    assert (first["REQUEST_METHOD"], first["SERVER_PROTOCOL"]) == ("POST", "HTTP/1.0")
    assert (first["CONTENT_TYPE"], first["CONTENT_LENGTH"], first["HTTP_X_ONLY"]) == ("text/x", "2", "here")
    assert (second["REQUEST_METHOD"], second["SERVER_PROTOCOL"]) == ("GET", "HTTP/1.1")
    assert second["QUERY_STRING"] == ""
    assert not {"CONTENT_TYPE", "CONTENT_LENGTH", "HTTP_X_ONLY"} & set(second)


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/a%20b", "/a b"),
        ("/caf%C3%A9", "/caf\xc3\xa9"),
        ("/%ff%00", "/\xff\x00"),
        ("/50%", "/50%"),
        ("/%zz%4", "/%zz%4"),
        ("/a//b/../c", "/a//b/../c"),
        ("http://test.example:8000/x?y", "/x"),
    ],
)
def test_paths_are_decoded_to_latin_1(target, path):
    with Server("plain:environ") as server:
        seen = environ(server, target)
    assert (seen["PATH_INFO"], seen["RAW_URI"]) == (path, target)


def test_header_fields(plain):
    fields = "X-Twice: a\r\nX-Twice: b\r\nx-twice: c\r\nX-Latin: caf\xe9\r\nCookie: a=1\r\nCookie: b=2\r\nX-Empty:\r\n"
    seen = environ(plain, headers=fields)
    assert seen["HTTP_X_TWICE"] == "a,b,c"
    assert seen["HTTP_X_LATIN"] == "caf\xe9"
    assert seen["HTTP_COOKIE"] == "a=1; b=2"
    assert seen["HTTP_X_EMPTY"] == ""


def test_many_different_fields(plain):
    for start in range(0, 1200, 90):
        fields = "".join(f"X-Field-{number}: {number}\r\n" for number in range(start, start + 90))
        seen = environ(plain, headers=fields)
        assert {int(value) for name, value in seen.items() if name.startswith("HTTP_X_FIELD_")} == set(range(start, start + 90))


UNDERSCORE = "X_Under: sneaky\r\nX-Under: real\r\nSCRIPT_NAME: /environ\r\nREMOTE_USER: me\r\n"


def test_underscores_are_dropped(plain):
    seen = environ(plain, headers="X_Under: sneaky\r\nX-Under: real\r\n")
    assert seen["HTTP_X_UNDER"] == "real"


@pytest.mark.parametrize(
    ("options", "under", "user", "script_name"),
    [
        (["--header-map", "drop"], "real", None, "/environ"),
        (["--header-map", "dangerous"], "sneaky,real", "me", "/environ"),
        (["--forwarder-headers", "REMOTE_USER"], "real", "me", ""),
        (["--forwarded-allow-ips", ""], "real", None, ""),
        (["--forwarder-headers", "*"], "sneaky,real", "me", "/environ"),
    ],
)
def test_header_map(options, under, user, script_name):
    with Server("plain:environ", *options) as server:
        seen = environ(server, "/environ/x", headers=UNDERSCORE)
    assert seen["HTTP_X_UNDER"] == under
    assert seen.get("HTTP_REMOTE_USER") == user
    assert (seen["SCRIPT_NAME"], seen["PATH_INFO"]) == (script_name, "/x" if script_name else "/environ/x")


def test_header_map_refuse():
    with Server("plain:environ", "--header-map", "refuse") as server:
        assert server.get(headers="X_Under: sneaky\r\n")[0] == 400
        assert server.get(headers="X-Under: real\r\n")[0] == 200
        # A believed proxy may send these.
        assert server.get("/a/b", headers="SCRIPT_NAME: /a\r\n")[0] == 200


def test_script_name_of_the_environment():
    with Server("plain:environ", "--env", "SCRIPT_NAME=/shop") as server:
        seen = environ(server, "/shop/cart")
        assert (seen["SCRIPT_NAME"], seen["PATH_INFO"]) == ("/shop", "/cart")
        assert server.get("/elsewhere")[0] == 500
        server.wait_for("does not begin with the SCRIPT_NAME '/shop'")


@pytest.mark.parametrize(
    ("options", "scheme"), [([], "https"), (["--forwarded-allow-ips", "192.0.2.1"], "http")]
)
def test_the_scheme_is_a_believed_proxys_word(options, scheme):
    with Server("plain:environ", *options) as server:
        seen = environ(server, headers="X-Forwarded-Proto: https\r\nX-Forwarded-For: 192.0.2.7\r\n")
    assert seen["wsgi.url_scheme"] == scheme
    assert seen["REMOTE_ADDR"] == "127.0.0.1"


def test_the_proxy_protocol_says_who_the_peer_is():
    with Server("plain:environ", "--proxy-protocol=auto") as server:
        head = "PROXY TCP4 192.0.2.7 192.0.2.1 1234 443\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        seen = json.loads(parse(server.raw(head))[2])
    assert (seen["REMOTE_ADDR"], seen["REMOTE_PORT"]) == ("192.0.2.7", "1234")


def test_a_unix_socket(tmp_path):
    path = tmp_path / "socket"
    with Server("plain:environ", "--bind", f"unix:{path}") as server:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))
            connection.sendall(b"GET / HTTP/1.1\r\nHost: shop.example:81\r\nConnection: close\r\n\r\n")
            seen = json.loads(parse(receive_all(connection))[2])
    assert (seen["SERVER_NAME"], seen["SERVER_PORT"], seen["REMOTE_ADDR"]) == ("shop.example", "81", "")
    assert "REMOTE_PORT" not in seen


CHUNKED = "Transfer-Encoding: chunked\r\n"


def chunked(body, size):
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


@pytest.mark.parametrize(
    ("calls", "results"),
    [
        ("read()", [["ab\ncdef\n\ngh"]]),
        ("read(-1)", [["ab\ncdef\n\ngh"]]),
        ("read(0)+read(2)+read(2)+read(100)+read(5)+read()", [[""], ["ab"], ["\nc"], ["def\n\ngh"], [""], [""]]),
        ("readline()+readline(2)+readline()+readline()+readline()+readline()", [["ab\n"], ["cd"], ["ef\n"], ["\n"], ["gh"], [""]]),
        ("readline(0)+readline(-1)", [[""], ["ab\n"]]),
        ("readlines()+readlines()", [["ab\n", "cdef\n", "\n", "gh"], []]),
        ("readlines(4)+read(1)+iter()", [["ab\n", "cdef\n"], ["\n"], ["gh"]]),
        ("readline()+read(2)+readline()+read()", [["ab\n"], ["cd"], ["ef\n"], ["\ngh"]]),
    ],
)
def test_input(worker_class, calls, results):
    body = b"ab\ncdef\n\ngh"
    with Server("plain:app", *worker_class) as server:
        for headers, sent in [("", body), (CHUNKED, chunked(body, 4))]:
            assert json.loads(server.get(f"/read?{calls}", headers, "POST", sent)[2]) == results


def test_input_of_a_request_without_a_body(plain):
    assert json.loads(plain.get("/read?read(1)+read(5)+readline(1)+readlines(9)+iter()")[2]) == [[""], [""], [""], [], []]


@pytest.mark.parametrize("size", [1, 65_535, 65_536, 65_537, 3_000_000])
def test_bodies_in_memory_and_in_a_file(plain, size):
    body = os.urandom(size)
    assert plain.get("/length", "", "POST", body)[2] == f"{size} {size} -".encode()
    # Nobody is told of chunks: the body is there as a whole, and so is its length.
    assert plain.get("/length", CHUNKED, "POST", chunked(body, 40_000))[2] == f"{size} {size} -".encode()


def test_lines_of_a_large_body():
    with Server("plain:app") as server:
        lines = [b"x" * (number * 37 % 9000) + b"\n" for number in range(300)]
        results = json.loads(server.get("/read?iter()", "", "POST", b"".join(lines))[2])
        assert [line.encode() for line in results[0]] == lines


def test_a_body_that_is_never_read_is_no_harm(plain):
    with plain.connection() as connection:
        for _ in range(3):
            connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200_000)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")


def test_iterables_are_streamed_and_closed(plain):
    status, headers, body = plain.get("/stream")
    assert (status, body) == (200, b"one two three")
    assert "content-length" not in headers
    plain.wait_for("closed iterable")
    assert plain.get("/stream", version="1.0")[2] == b"one two three"


def test_a_piece_is_sent_when_it_is_there(worker_class, tmp_path):
    go = tmp_path / "go"
    with Server("plain:app", *worker_class, env={"GO": str(go)}) as server, server.connection() as connection:
        connection.sendall(b"GET /held_stream HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        received = b""
        while b"first" not in received:
            received += connection.recv(65536)
        go.touch()
        assert parse(received + receive_all(connection))[2] == b"firstsecond"


def test_a_generator_may_start_late(plain):
    assert plain.get("/late_start")[2] == b"late"


def test_start_response_by_name():
    with Server("plain:app") as server:
        assert server.get("/starts_by_name")[::2] == (503, b"named")


def test_write(plain):
    assert plain.get("/writes")[2] == b"written and returned"
    assert plain.get("/writes_in_stream")[2] == b"abcde"


def test_exc_info_replaces_a_head_that_was_not_sent(worker_class):
    with Server("plain:app", *worker_class) as server:
        status, _, body = server.get("/changes_its_mind")
        assert (status, body) == (503, b"sorry")
        # Once it was, the exception goes on, and the client sees that the answer is not whole.
        answer = server.raw("GET /changes_its_mind_too_late HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"begun" in answer and not answer.endswith(b"0\r\n\r\n") and b"never" not in answer
        server.wait_for("ValueError: too late")


@pytest.mark.parametrize(("sizes", "body"), [("10", b"a" * 10), ("4+6", b"a" * 10), ("0+10+0", b"a" * 10)])
def test_content_length_is_kept(worker_class, sizes, body):
    with Server("plain:app", *worker_class) as server:
        assert server.get(f"/sized_stream?{sizes}")[2] == body
        server.wait_for("closed sized")


@pytest.mark.parametrize("sizes", ["4", "4+5", "4+7", "11"])
def test_content_length_is_enforced(worker_class, sizes):
    with Server("plain:app", *worker_class) as server:
        status_line, _, body = server.raw(f"GET /sized_stream?{sizes} HTTP/1.1\r\nHost: a\r\n\r\n").partition(b"\r\n")
        assert b" 500 " in status_line or len(body.partition(b"\r\n\r\n")[2]) < 10
        server.wait_for(r"ERROR.*sized_stream")
        server.wait_for("closed sized")
        assert server.get("/pid")[0] == 200


@pytest.mark.parametrize("line", ["204 No Content", "304 Not Modified"])
def test_statuses_without_a_body(plain, line):
    with plain.connection() as connection:
        for _ in range(2):
            connection.sendall(f"GET /status?{line.replace(' ', '+')} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            answer = connection.recv(65536)
            assert answer.startswith(f"HTTP/1.1 {line[:3]}".encode()) and answer.endswith(b"\r\n\r\n")
            assert b"transfer-encoding" not in answer.lower()


def test_head(plain):
    status, headers, body = plain.get("/environ", method="HEAD")
    assert (status, body) == (200, b"") and int(headers["content-length"]) > 100


def test_response_headers(plain):
    answer = plain.raw("GET /headers HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    _, headers, _ = parse(answer)
    assert headers["x-latin"] == "caf\xe9"
    assert headers["set-cookie"] == "a=1, b=2"
    assert headers["x-space"] == "padded"
    assert {"date", "server"} <= set(headers)


@pytest.mark.parametrize("name", ["Connection", "Keep-Alive", "Upgrade", "TE", "Trailer", "Proxy-Connection"])
def test_hop_by_hop_fields_are_the_servers(worker_class, name):
    with Server("plain:app", *worker_class) as server:
        status, headers, body = server.get(f"/hop_by_hop?{name}=by-the-app")
        assert (status, body) == (200, b"hop")
        assert "by-the-app" not in headers.values()
        server.get(f"/hop_by_hop?{name}=by-the-app")
    assert server.log().count(f"the response header {name.lower()}, which is the server's") == 1


def test_a_head_is_sent_as_the_app_wrote_it(worker_class):
    with Server("plain:app", *worker_class) as server:
        answer = server.raw("GET /shouts HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").decode("latin-1")
    assert answer.startswith("HTTP/1.1 299 All Is W\xe9ll\r\nx-sHoUt: 1\r\nX-Shout: 2\r\nserver: mine\r\n")
    assert answer.count("erver: ") == 1 and answer.endswith("\r\n\r\nshouted")


def test_the_body_is_framed_once(worker_class):
    with Server("plain:app", *worker_class) as server:
        status, headers, body = server.get("/hop_by_hop?Transfer-Encoding=chunked")
        assert (status, body, headers.get("transfer-encoding")) == (200, b"hop", None)


@pytest.mark.parametrize("offset", [0, 3, 99_999, 100_000, 200_000])
def test_file_wrapper(worker_class, tmp_path, offset):
    path = tmp_path / "file"
    path.write_bytes(os.urandom(100_000))
    with Server("plain:app", *worker_class, env={"FILE": str(path)}) as server:
        assert server.get(f"/file?{offset}")[2] == path.read_bytes()[offset:]


def test_a_part_of_a_file(worker_class, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(os.urandom(100_000))
    with Server("plain:app", *worker_class, env={"FILE": str(path)}) as server:
        status, headers, body = server.get("/file?100+5000")
        assert (status, headers["content-length"], body) == (200, "5000", path.read_bytes()[100:5100])
        status, headers, body = server.get("/file?100", method="HEAD")
        assert (status, headers["content-length"], body) == (200, "99900", b"")
        assert server.get("/file?99000+2000")[0] == 500
        assert server.get("/pid")[0] == 200


@pytest.mark.parametrize("gets_shorter", [False, True])
def test_a_file_that_is_sent_as_the_client_reads(worker_class, tmp_path, gets_shorter):
    path, size = tmp_path / "file", 30_000_000
    path.write_bytes(os.urandom(1000) * (size // 1000))
    with Server("plain:app", *worker_class, env={"FILE": str(path)}) as server, server.connection() as connection:
        connection.sendall(b"GET /file?0 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        begun = connection.recv(1000)
        # The worker does not wait for this client.
        assert server.get("/pid")[0] == 200
        if gets_shorter:
            os.truncate(path, 1000)
        body = parse(begun + receive_all(connection))[2]
        if gets_shorter:
            assert len(body) < size
            server.wait_for("GET /file.*the file ends .* bytes before")
        else:
            assert body == path.read_bytes()
        assert server.get("/pid")[0] == 200


def test_errors_go_into_the_log(plain):
    assert plain.get("/errors")[2] == b"ok"
    for line in ["first line", "second line", "third", "fourth line", r"fifth \\udce9 line"]:
        plain.wait_for(line)


def test_a_line_of_errors_ends_with_its_request(plain):
    for number in range(1, 4):
        assert plain.get("/unended_error")[2] == b"ok"
        plain.wait_for("ERROR.*a line without an end$", number)


def test_flags_are_true_to_the_class(worker_class):
    with Server("plain:environ", *worker_class, "--workers", "2") as server:
        seen = environ(server)
    assert seen["wsgi.multiprocess"] is True
    assert seen["wsgi.multithread"] is ("--threads" in worker_class)


def test_header_fields_are_those_of_the_request(worker_class):
    """What one request had is neither kept nor mixed up with the next one's, in whatever order they come."""
    chooser = random.Random(7)
    names = ["Host", "Accept", "X-A", "x-a", "X-B", "Cookie", "Content-Type", "X_Under", "X-Long", "User-Agent"]
    values = ["", "1", "two", "caf\xe9", "x" * 1025, "1"]
    with Server("plain:environ", *worker_class, "--keep-alive", "5") as server, server.connection() as connection:
        answers = connection.makefile("rb")
        for _ in range(600):
            fields = [(name, chooser.choice(values)) for name in chooser.sample(names, chooser.randrange(len(names)))]
            fields = [("Host", "a"), *(field for field in fields if field[0] != "Host")]
            if chooser.random() < 0.2:
                chooser.shuffle(fields)
            lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
            connection.sendall(f"GET / HTTP/1.1\r\n{lines}\r\n".encode("latin-1"))
            length = 0
            while (line := answers.readline()) != b"\r\n":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split()[1])
            seen = json.loads(answers.read(length))
            expected = {}
            for name, value in fields:
                key = name.upper().replace("-", "_")
                key = key if key == "CONTENT_TYPE" else f"HTTP_{key}"
                if "_" not in name:
                    expected[key] = f"{expected[key]},{value}" if key in expected else value
            assert {key: value for key, value in seen.items() if key.startswith(("HTTP_", "CONTENT_"))} == expected
            assert (seen["REMOTE_ADDR"], seen["REMOTE_PORT"]) == ("127.0.0.1", str(connection.getsockname()[1]))
            assert (seen["SERVER_NAME"], seen["SERVER_PORT"]) == ("127.0.0.1", str(server.port))
