"""The command line: ``rserve`` and ``python -m rserve``."""

import sys
import sysconfig


def main():
    """Does what the command line says, blocks until the server has stopped, and exits."""
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        sys.exit("error: rserve does not run on free-threaded Python yet: use an ordinary build of CPython")
    from rserve import _native

    sys.exit(_native.main(sys.argv))


if __name__ == "__main__":
    main()
