"""From the words of the command line to an app."""

import ast
import gc
import importlib
import os
import sys
import traceback


class AppError(Exception):
    """The app cannot be had, and it is no Python code that failed: a traceback would say nothing."""


def prepare(path, env):
    """Sets environment variables, and where modules are looked for: the current folder, as gunicorn does."""
    os.environ.update(env)
    # What `python -m rserve` or a console script has put there stays behind these.
    folders = [os.path.abspath(folder) for folder in path]
    sys.path[:0] = [folder for folder in [*folders, os.getcwd()] if folder not in sys.path]


def load(name):
    """The app by its name, or an AppError."""
    module_name, colon, expression = name.partition(":")
    target, arguments, keywords = parse(expression if colon else "application", name)
    app = find(import_module(module_name, target), target, module_name)
    if arguments is not None:
        app = app(*arguments, **keywords)
    if not callable(app):
        raise AppError(f"'{name}' is {type(app).__name__} and cannot be called: a WSGI app is a callable")
    return app


def parse(expression, name):
    """`app`, `shop.app` or `make("debug", level=3)`: the name, and the arguments if it is a call."""
    try:
        tree = ast.parse(expression, mode="eval").body
        if not isinstance(tree, ast.Call):
            return dotted(tree), None, None
        keywords = {keyword.arg: ast.literal_eval(keyword.value) for keyword in tree.keywords}
        return dotted(tree.func), [ast.literal_eval(argument) for argument in tree.args], keywords
    except (SyntaxError, ValueError, TypeError):
        raise AppError(
            f"cannot read '{name}': module:app or module:factory() is needed, with literals as arguments if any"
        ) from None


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


def freeze():
    """Before the first fork: what is there is left alone by the collector, so that workers go on sharing its pages."""
    gc.disable()
    gc.collect()
    gc.freeze()


def thaw():
    """In a worker."""
    gc.enable()
