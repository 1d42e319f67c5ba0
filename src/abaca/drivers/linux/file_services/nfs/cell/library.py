"""The library that is loaded into every NFS server: built from the C files here, kept under the
hash of what it was built from.

Several releases of Abaca on one machine have a library each; none is ever changed in place.
"""

from __future__ import annotations

import hashlib
import os
import platform
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from abaca.drivers.linux.file_services.nfs.cell.privileges import TOKEN
from abaca.drivers.linux.layout import require_trusted
from abaca.drivers.linux.programs import is_installed, run
from abaca.errors import BackendError, Unavailable

COMPILER = "gcc"
SHIPPED = Path("/usr/lib/abaca")  # by a package
BUILT = Path("/usr/local/lib/abaca")
_SOURCES = (
    "real.h",
    "handles.c",
    "calls.c",
    "room.c",
    "connections.c",
    "identities.h",
    "identities.c",
    "holders.h",
    "holders.c",
    "reads.h",
    "storage.c",
)
FLAGS = (
    *("-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared"),
    *("-fno-builtin", "-U_FORTIFY_SOURCE", "-Wl,-z,now", "-Wl,-z,relro", f"-DTOKEN={TOKEN:#x}u"),
)
_HERE = Path(__file__).parent


@cache
def _sources() -> dict[str, bytes]:
    """As they were when this process first asked: an upgrade may exchange the files under a worker
    that still runs."""
    return {source: (_HERE / source).read_bytes() for source in _SOURCES}


def name() -> str:
    """The file name of this release's library on this architecture."""
    digest = hashlib.sha256(" ".join([platform.machine(), *FLAGS]).encode())
    for source in _sources().values():
        digest.update(source)
    return f"abaca-nfs-{digest.hexdigest()[:16]}.so"


def path() -> Path | None:
    """Where the library is, or None when it was not built yet."""
    return next(
        (found for folder in (SHIPPED, BUILT) if (found := folder / name()).is_file()), None
    )


def ensure() -> Path:
    """The library's path; it is built when it is not there. Raises Unavailable when it cannot
    be."""
    found = path()
    if found is None:
        require_trusted(BUILT)
        found = build(BUILT)
    require_trusted(found)
    return found


def missing() -> list[str]:
    """What is missing to have the library, in words for an administrator."""
    if path() is not None or is_installed(COMPILER):
        return []
    return [
        f"the NFS servers' library: it is neither in {SHIPPED} nor in {BUILT}, and cannot be "
        "built: install Debian packages gcc, libc6-dev"
    ]


def build(folder: Path) -> Path:
    """Build it in a folder, which is made; its path. Raises Unavailable."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)  # whatever the umask: others look into it, too
    finished = folder / name()
    unfinished = folder / f".{name()}.{os.getpid()}"
    try:
        # Not where anybody may fill the disk.
        with TemporaryDirectory(dir=folder, prefix=f"{unfinished.name}.") as sources:
            for source, text in _sources().items():
                Path(sources, source).write_bytes(text)
            units = [str(Path(sources, source)) for source in _SOURCES if source.endswith(".c")]
            compiling = (COMPILER, *FLAGS, "-o", str(unfinished), *units)
            run(*compiling, timeout=120, extra_environment={"TMPDIR": sources})
        unfinished.chmod(0o644)
        unfinished.replace(finished)
    except BackendError as error:
        unfinished.unlink(missing_ok=True)
        raise Unavailable(f"the NFS servers' library cannot be built: {error.message}") from error
    return finished
