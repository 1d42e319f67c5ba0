"""The tests. `tests.databases` gives databases; each folder says in ARCHITECTURE.md what it holds
real."""

import os
import sys

# Python keeps what it has compiled, in this process and in those that it starts, even where the
# environment says otherwise: a start of the service would compile 1,200 modules anew, which is two
# thirds of its CPU time.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
