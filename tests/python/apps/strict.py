"""PEP 3333's validator, between the server and the app of a framework."""

from wsgiref.validate import validator


class Input:
    """`wsgi.input` with a size for `read`: the validator wants one, though PEP 3333 does not, and Werkzeug gives none."""

    def __init__(self, source):
        self.source = source

    def read(self, size=-1):
        return self.source.read(size)

    def __iter__(self):
        return iter(self.source)

    def __getattr__(self, name):
        return getattr(self.source, name)


def strict(app):
    def with_sizes(environ, start_response):
        environ["wsgi.input"] = Input(environ["wsgi.input"])
        return app(environ, start_response)

    return validator(with_sizes)
