"""What the launcher gives up for good before it becomes an NFS server: capabilities, privileges of
programs, opening by handle.

The filter here is the smaller of two: with it, a file is opened by its handle only through the
library (`handles.c`), which adds the token. So an NFS server into which the library was not loaded
opens nothing, whatever the reason was. All other calls are limited by the library (`calls.c`).
"""

from __future__ import annotations

import ctypes
import platform
import resource
import struct
from collections.abc import Iterable
from typing import NamedTuple

from abaca.drivers.linux.file_services.nfs.cell.kernel import check, libc, prctl

TOKEN = 0xABACA5EA

# CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, FSETID, SETGID, SETUID: what it takes to act for any
# user on files. Without SETUID, NFS-Ganesha does not stop: it serves everybody as root.
CAPABILITIES = 0b1101_1111
_MOST_CAPABILITIES = 64

_PR_SET_SECCOMP, _PR_CAPBSET_READ, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 22, 23, 24, 38
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
_SECCOMP_MODE_FILTER = 2
_LINUX_CAPABILITY_VERSION_3 = 0x20080522

# Of the classic BPF machine, and answers of a filter of system calls.
_LOAD, _IF_EQUAL, _IF_AT_LEAST, _ANSWER = 0x20, 0x15, 0x35, 0x06
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050001, 0x80000000
_X32_CALLS = 0x40000000
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16


class Architecture(NamedTuple):
    """Its number among those of the kernel's audit, and numbers of system calls."""

    audit: int
    open_by_handle_at: int
    pivot_root: int
    ioctl: int


ARCHITECTURES = {
    "x86_64": Architecture(0xC000003E, 304, 155, 16),
    "aarch64": Architecture(0xC00000B7, 265, 41, 29),
}


def architecture() -> Architecture:
    """This machine's. Raises OSError when it is not known here."""
    machine = platform.machine()
    if machine not in ARCHITECTURES:
        raise OSError(
            f"NFS servers cannot be confined on {machine}, only on {', '.join(ARCHITECTURES)}"
        )
    return ARCHITECTURES[machine]


def limit(limits: Iterable[tuple[str, int]]) -> None:
    """Set resource limits by their names: `NOFILE`, 4096."""
    for name, value in limits:
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))


def give_up(kept: int) -> None:
    """Keep these capabilities (bits), and nothing by which a program would get more."""
    for number in range(_MOST_CAPABILITIES):
        is_known = libc.prctl(_PR_CAPBSET_READ, number, 0, 0, 0) >= 0
        if is_known and not kept >> number & 1:
            prctl(_PR_CAPBSET_DROP, number, what=f"drop capability {number}")
    prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, what="drop ambient capabilities")
    head = struct.pack("II", _LINUX_CAPABILITY_VERSION_3, 0)
    sets = struct.pack("6I", kept, kept, 0, 0, 0, 0)
    check(libc.capset(head, sets), "drop capabilities")
    prctl(_PR_SET_NO_NEW_PRIVS, 1, what="set no_new_privs")


def demand_token() -> None:
    """From now on this process opens files by handle only with the token, which only the library
    adds."""
    here = architecture()
    _refuse(
        _word(_IF_EQUAL, here.open_by_handle_at, 0, 3),
        _word(_LOAD, _ARGUMENTS_AT + 8 * 2 + 4),
        _word(_IF_EQUAL, TOKEN, 1, 0),
        _word(_ANSWER, _REFUSE),
    )


def refuse_ioctl() -> None:
    """From now on this process has of file systems only what all of them have: it makes no
    subvolumes, for example."""
    _refuse(_word(_IF_EQUAL, architecture().ioctl, 0, 1), _word(_ANSWER, _REFUSE))


def _refuse(*of_number: bytes) -> None:
    """Set a filter that allows what these words, which find the number of the call, do not
    refuse."""
    program = [
        *(
            _word(_LOAD, _ARCHITECTURE_AT),
            _word(_IF_EQUAL, architecture().audit, 1, 0),
            _word(_ANSWER, _KILL),
        ),
        *(_word(_LOAD, _NUMBER_AT), _word(_IF_AT_LEAST, _X32_CALLS, 0, 1), _word(_ANSWER, _REFUSE)),
        *of_number,
        _word(_ANSWER, _ALLOW),
    ]
    code = ctypes.create_string_buffer(b"".join(program))
    filter_ = struct.pack("HxxxxxxQ", len(program), ctypes.addressof(code))
    prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, filter_, what="set a filter of system calls")


def _word(code: int, value: int, if_so: int = 0, if_not: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_so, if_not, value)
