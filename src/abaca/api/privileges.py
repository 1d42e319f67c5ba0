"""Giving root up for good, with everything that will ever be needed still within reach, or named
before anything is served.

The code may be where only root may enter, for example a clone in root's home. Its folders are held
open before root goes, and what is imported later is found through them.
"""

from __future__ import annotations

import ctypes
import importlib
import logging
import os
import pwd
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType

from oslo_config import cfg

from abaca.api import certificates, policy_file
from abaca.config import key_file, tokens_file, users_file
from abaca.db.private_files import Exposed, read_private
from abaca.regular_files import NotRegular, require_regular

LOG = logging.getLogger(__name__)

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38


def give_up_root(user: str) -> None:
    """Become `user`, for good; nothing changes for a user other than root. Raises cfg.Error when
    there is no such user."""
    if os.geteuid() != 0:
        return
    account = find_account(user)
    if account.pw_uid == 0:
        LOG.warning(
            "[api] user = %s: the process that parses what strangers send runs as root", user
        )
    else:
        held = _hold_code()
        os.initgroups(user, account.pw_gid)
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
        # libpq and others look there, and root's they may not enter
        os.environ["HOME"] = account.pw_dir
        _import_from(held)
    prctl(_PR_SET_NO_NEW_PRIVS, 1)


def find_account(user: str) -> pwd.struct_passwd:
    """The user whom the API runs as. Raises cfg.Error, which says how to make one, when there is
    none."""
    try:
        return pwd.getpwnam(user)
    except KeyError:
        make = f"useradd --system --user-group --no-create-home --shell /usr/sbin/nologin {user}"
        raise cfg.Error(
            f"[api] user = {user}: there is no such user, whom the API process is to run as. "
            f"`{make}` makes one."
        ) from None


def end_with(signal_number: int) -> None:
    """Have the kernel send us that signal when our parent ends, in whatever way."""
    prctl(_PR_SET_PDEATHSIG, signal_number)


def unreadable(conf: cfg.ConfigOpts) -> Iterator[str]:
    """What this process needs for serving and may not read, or what others may read: a sentence for
    each."""
    for path in _secrets(conf):
        yield from _complaint(path, read_private)
    for path in _others(conf):
        yield from _complaint(path, Path.read_bytes)
    from abaca.api import audit_file  # loads Falcon, which most commands do without

    if conf.api.audit_file and (
        complaint := audit_file.complaint(Path(conf.api.audit_file), _name())
    ):
        yield complaint
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if file and os.path.isabs(file) and os.path.lexists(file) and not os.access(file, os.R_OK):
            yield f"{_name()} may not read the code in {file}."
            return


def try_as(conf: cfg.ConfigOpts) -> list[str]:
    """What `unreadable` says once root is given up, tried in a process of its own. Raises cfg.Error
    when there is no such user."""
    find_account(conf.api.user)
    ours, theirs = get_context("fork").Pipe(duplex=False)
    process = get_context("fork").Process(target=_try, args=(conf, theirs))
    process.start()
    theirs.close()
    try:
        found: list[str] = ours.recv()
    except EOFError:
        found = [f"{conf.api.user} cannot run the API: trying it ended without an answer."]
    process.join()
    return found


def prctl(option: int, value: int) -> None:
    """The system call. Raises OSError."""
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl failed")


def _try(conf: cfg.ConfigOpts, answer: Connection) -> None:
    logging.disable()
    give_up_root(conf.api.user)
    answer.send(list(unreadable(conf)))


def _secrets(conf: cfg.ConfigOpts) -> Iterator[Path]:
    if conf.api.auth_strategy == "http_basic":
        yield users_file(conf)
        yield tokens_file(conf)
    yield key_file(conf)
    if found := certificates.served(conf):
        yield found.key


def _others(conf: cfg.ConfigOpts) -> Iterator[Path]:
    if found := certificates.served(conf):
        yield found.certificate
    yield policy_file.place(conf)


def _complaint(path: Path, read: Callable[[Path], object]) -> Iterator[str]:
    try:
        require_regular(path)
        read(path)
    except FileNotFoundError:  # some are made later; those that must be there are missed elsewhere
        return
    except (Exposed, NotRegular) as error:
        yield str(error)
    except PermissionError:
        closed = next(
            (
                folder
                for folder in reversed(path.absolute().parents)
                if not os.access(folder, os.X_OK)
            ),
            None,
        )
        yield (
            f"{_name()} may not read "
            f"{path}{f', because {closed} may not be entered' if closed else ''}."
        )


def _name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"user {os.geteuid()}"


def _hold_code() -> dict[str, int]:
    """The folders that code is imported from, open."""
    held = {}
    for folder in filter(None, sys.path):
        with suppress(OSError):  # not there, or no folder
            held[folder] = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    return held


def _import_from(held: Mapping[str, int]) -> None:
    """From now on import through the folders held open where their paths lead nowhere any more."""
    moved = {}
    for folder, handle in held.items():
        if os.access(folder, os.R_OK | os.X_OK):
            os.close(handle)
        else:
            moved[folder] = f"/proc/self/fd/{handle}"
    if moved:
        sys.path[:] = [moved.get(folder, folder) for folder in sys.path]
        for module in list(sys.modules.values()):
            _move(module, moved)
        importlib.invalidate_caches()


def _move(module: ModuleType, moved: Mapping[str, str]) -> None:
    """Where a module that is imported already says that it, its submodules and its data are."""
    known = vars(module)
    if isinstance(known.get("__file__"), str):
        module.__file__ = _moved(known["__file__"], moved)
    if isinstance(known.get("__path__"), list):
        module.__path__[:] = [_moved(path, moved) for path in module.__path__]
    loader = known.get("__loader__")
    if isinstance(getattr(loader, "path", None), str):
        loader.path = _moved(loader.path, moved)  # type: ignore[union-attr]


def _moved(path: str, moved: Mapping[str, str]) -> str:
    folder = max(
        (folder for folder in moved if path == folder or path.startswith(f"{folder}/")),
        key=len,
        default=None,
    )
    return path if folder is None else moved[folder] + path[len(folder) :]
