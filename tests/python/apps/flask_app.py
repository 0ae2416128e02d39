"""A Flask app with a bit of everything: templates, forms, sessions, uploads, streams, files, hooks."""

import gc
import logging
import os
import time

from flask import Flask, flash, g, jsonify, redirect, render_template_string, request, send_file, session, stream_with_context, url_for
from strict import strict
from werkzeug.utils import secure_filename

app = Flask(__name__)
app.secret_key = "for tests"
app.logger.setLevel(logging.INFO)

PAGE = """<!doctype html><title>{{ title }}</title>
{% for message in get_flashed_messages() %}<p>{{ message }}</p>{% endfor %}
<form method=post action="{{ url_for('login') }}"><input name=user></form>
{% if user %}Hello, {{ user }}!{% else %}Who are you?{% endif %}"""


@app.before_request
def begin():
    g.steps = ["before"]


@app.teardown_request
def end(error):
    app.logger.info("teardown of %s", request.path)


@app.get("/")
def index():
    return render_template_string(PAGE, title="Shop", user=session.get("user"))


@app.post("/login")
def login():
    session["user"] = request.form["user"]
    flash("Welcome")
    return redirect(url_for("index"))


@app.get("/visits")
def visits():
    session["visits"] = session.get("visits", 0) + 1
    return jsonify(visits=session["visits"])


@app.post("/upload")
def upload():
    given = request.files["file"]
    return jsonify(name=secure_filename(given.filename), size=len(given.read()), note=request.form["note"])


@app.post("/json")
def json_route():
    return jsonify(got=request.get_json(), steps=g.steps)


@app.post("/raw")
def raw():
    """Reads a body piece by piece, chunked ones too."""
    size = 0
    while piece := request.stream.read(4096):
        size += len(piece)
    return jsonify(size=size, again=len(request.stream.read()))


@app.route("/limited", methods=["POST"])
def limited():
    request.max_content_length = 1000
    return jsonify(size=len(request.get_data()))


@app.get("/stream")
def stream():
    def rows():
        for number in range(int(request.args["rows"])):
            yield f"{number},{request.args['rows']},{session.get('user')}\n"

    return app.response_class(stream_with_context(rows()), mimetype="text/csv")


@app.get("/events")
def events():
    def produce():
        for number in range(3):
            yield f"data: {number}\n\n"

    return app.response_class(produce(), mimetype="text/event-stream", headers={"Connection": "keep-alive"})


@app.get("/file")
def file():
    return send_file(os.environ["FILE"], mimetype="application/octet-stream", conditional=True)


@app.get("/after")
def after():
    response = jsonify(ok=True)
    response.call_on_close(lambda: app.logger.info("called on close"))
    return response


@app.get("/where")
def where():
    return jsonify(url=request.url, root=request.root_path, remote=request.remote_addr, secure=request.is_secure)


@app.get("/slow")
def slow():
    time.sleep(0.05)
    return "slow"


@app.get("/collect")
def collect():
    gc.collect()
    return str(os.getpid())


@app.get("/fail")
def fail():
    raise RuntimeError("failed in a view")


@app.errorhandler(404)
def not_found(error):
    return "nothing here", 404


def create_app(prefix="/"):
    return app


validated = strict(app)
