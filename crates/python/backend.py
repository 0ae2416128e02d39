"""The build backend: maturin, which would build for interpreters that rserve does not run on as well."""

import sys
import sysconfig

if sysconfig.get_config_var("Py_GIL_DISABLED"):
    sys.exit("error: rserve does not run on free-threaded Python yet: use an ordinary build of CPython")

from maturin import *  # noqa: E402, F403
