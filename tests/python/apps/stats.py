"""Every way to answer, good and bad, and what the process holds by then."""

import gc
import json
import os
import resource
import sys

import misbehaving
import plain

shared = object()


def stats(environ, start_response):
    gc.collect()
    with open("/proc/self/statm") as statm:
        pages = int(statm.read().split()[1])
    counts = {
        "objects": len(gc.get_objects()),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "kib": pages * resource.getpagesize() // 1024,
        "references": {name: sys.getrefcount(value) for name, value in {
            "app": app, "none": None, "shared": shared, "start_response": type(start_response),
            "input": type(environ["wsgi.input"]), "file_wrapper": environ["wsgi.file_wrapper"],
        }.items() if name != "none"},
    }
    return plain.answer(start_response, json.dumps(counts).encode())


def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/stats":
        return stats(environ, start_response)
    plain.closed.clear()
    return (plain.app if path in plain.ROUTES else misbehaving.app)(environ, start_response)
