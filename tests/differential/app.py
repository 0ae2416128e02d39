"""An app that tells of the process that it runs in."""

import os
import pathlib
import time
import urllib.parse


def app(environ, start_response):
    path, query = environ["PATH_INFO"], environ["QUERY_STRING"]
    if path == "/sleep":
        seconds, _, mark = query.partition(",")
        if mark:
            pathlib.Path(mark).touch()
        time.sleep(float(seconds))
    if path == "/raise":
        raise RuntimeError("as it was told to")
    told = {
        "/pid": lambda: os.getpid(),
        "/cwd": lambda: os.getcwd(),
        "/env": lambda: os.environ.get(query, "-"),
        "/umask": lambda: oct(os.umask(0)),
        "/uids": lambda: os.getresuid(),
        "/gids": lambda: os.getresgid(),
        "/groups": lambda: sorted(os.getgroups()),
        "/path": lambda: urllib.parse.quote(path),
    }
    body = str(told.get(path, lambda: "ok")()).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
