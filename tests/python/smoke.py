"""What the wheel must do with each version of CPython, told without the packages that the tests need: cargo xtask python."""

from serving import Server

for options in (["--worker-class", "sync"], ["--worker-class", "threaded"], ["--workers", "2", "--preload"]):
    with Server("plain:validated", *options) as server:
        answers = [server.get(), server.get("/stream"), server.get("/length", method="POST", body=b"12345")]
        assert [status for status, _, _ in answers] == [200, 200, 200], answers
        assert "AssertionError" not in server.log(), server.log()
