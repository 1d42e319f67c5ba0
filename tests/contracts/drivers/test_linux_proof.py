"""No back end is up whose NFS servers open forged handles: the library that keeps them from it is
taken away, or does too little.

Each back end here is made in a mount namespace of its own, in which another library lies over ours.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from abaca.drivers.linux.driver import LinuxDriver
from abaca.drivers.linux.file_services.nfs.cell import library
from abaca.drivers.linux.inventory import leftovers

pytestmark = [pytest.mark.root, pytest.mark.sampled_file(4)]

SOURCES = Path(library.__file__).parent
NOTHING = "int nothing;"
"""Neither filters calls nor translates handles."""
OPEN = """
#include "real.h"
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
int open_by_handle_at(int mount, struct file_handle *handle, int flags)
{
    unsigned long marked = (unsigned)flags | (unsigned long)TOKEN << 32;
    return syscall(SYS_open_by_handle_at, mount, handle, marked);
}
void *dlopen(const char *path, int flags)
{
    int is_vfs = path && strstr(path, "/libfsalvfs.so");
    return REAL(dlopen)(path, is_vfs ? flags & ~RTLD_DEEPBIND : flags);
}
"""
"""Has the token and lets every handle through: what an update might make of the wall."""
BELIEVE = """
#include "identities.h"
void begin_request(struct reader *r) { r->at = 0; }
int read_request(struct reader *r, uint8_t *bytes, size_t length, const struct in6_addr *from)
{
    return (void)r, (void)bytes, (void)length, (void)from, 0;
}
void read_answer(const uint8_t *bytes, size_t length, const struct in6_addr *to)
{
    (void)bytes, (void)length, (void)to;
}
"""
"""Does not look whose a session is."""

START = """
import sys
from pathlib import Path
from abaca.drivers.linux.driver import LinuxDriver
from abaca.drivers.linux.inventory import remove_installation
from abaca.errors import BackendError
options = {"state_dir": sys.argv[1], "namespace": sys.argv[2], "pool_size_gib": "1"}
driver = LinuxDriver("linux", options)
try:
    driver.check_for_setup_error()
except BackendError as error:
    print(type(error).__name__, error.message)
finally:
    remove_installation(sys.argv[2], Path(sys.argv[1]))
"""


def test_a_back_end_is_up_when_its_servers_open_no_forged_handle(
    lonely_driver: LinuxDriver,
) -> None:
    """And nothing is left of the server that it was proved with."""
    lonely_driver.check_for_setup_error()
    left = leftovers(lonely_driver.layout.namespace, lonely_driver.layout.state_dir)
    assert not any(left[kind] for kind in ("exports", "processes", "links", "subvolumes"))
    assert left["namespaces"] == [lonely_driver.layout.namespace]
    assert lonely_driver.pool.share_ids() == []


@pytest.mark.parametrize(
    ("sources", "reason"),
    [
        ([NOTHING], "Seccomp_filters is 1, not 2"),
        ([NOTHING, "calls.c"], "opens a forged handle of its own, which tells of its subvolume"),
        ([OPEN, "calls.c"], "it opens a forged handle of proof-own"),
        (
            [BELIEVE, "calls.c", "handles.c", "holders.c", "room.c", "connections.c"],
            "believes anybody about whose a session is",
        ),
        (
            [NOTHING, "calls.c", "handles.c", "holders.c", "room.c"],
            "waits for a request without end",
        ),
    ],
    ids=["without anything", "without the wrappers", "open", "believing", "without bounds"],
)
def test_no_back_end_is_up_whose_library_does_too_little(
    tmp_path: Path, sources: list[str], reason: str
) -> None:
    ours = library.ensure()
    other = tmp_path / "library" / ours.name
    other.parent.mkdir(mode=0o755)
    (tmp_path / "other.c").write_text(sources[0])
    flags = [*library.FLAGS, f"-I{SOURCES}", "-o", str(other)]
    subprocess.run(
        ["gcc", *flags, str(tmp_path / "other.c"), *(str(SOURCES / name) for name in sources[1:])],
        check=True,
    )
    namespace = f"t{tmp_path.stat().st_ino % 10**8}"
    start = [
        "sh",
        "-c",
        'mount --bind "$1" "$2" && shift 2 && exec "$@"',
        "sh",
        str(other.parent),
        str(ours.parent),
    ]
    python = [sys.executable, "-c", START, str(tmp_path / "state"), namespace]
    done = subprocess.run(
        ["unshare", "--mount", *start, *python],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.stdout.startswith("Unavailable ") and reason in done.stdout, (
        done.stdout + done.stderr
    )
