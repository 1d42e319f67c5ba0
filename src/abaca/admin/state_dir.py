"""The state directory: who owns what in it. It is made at the first start and checked at every
start, before root opens anything in it. Without root everything belongs to the user who starts the
service.

- `.`: 0755, root. The API process has to reach the database below it.
- `db/`: 0700, and `db/…sqlite`: 0600, the API's user. SQLite makes files there; root opens them
  with the API's rights (`db.owner_rights`).
- `worker/`: 0700, root. Pool, mounts, configuration of file servers.
- files: as `KEPT` says.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa
from oslo_config import cfg

from abaca import config
from abaca.admin.progress import progress
from abaca.api import policy_file, privileges
from abaca.db import migrations
from abaca.db.encryption import new_key
from abaca.db.owner_rights import owner_rights
from abaca.db.session import create_engine, read
from abaca.db.tables import security_services
from abaca.errors import Conflict

_FORMER_USER = "nobody"


class Kept(NamedTuple):
    """A file of the state directory that is not made again when it is lost. `name`: below the
    directory. `is_for_api`: whether it is of the API's group. `is_secret`: whether it holds what
    nobody else may read. `place`: where it is, which the configuration may say."""

    name: str
    mode: int
    is_for_api: bool
    is_secret: bool
    holds: str
    place: Callable[[cfg.ConfigOpts], Path]


KEPT = (
    Kept("users", 0o640, True, True, "users of http_basic with bcrypt hashes", config.users_file),
    Kept("tokens", 0o640, True, True, "application tokens, hashed", config.tokens_file),
    Kept("key", 0o640, True, True, "the key of stored passwords", config.key_file),
    Kept(
        "ca.key",
        0o600,
        False,
        True,
        "the certificate authority that clients trust, with its key",
        lambda conf: config.state_path(conf, "ca.key"),
    ),
    Kept("policy.yaml", 0o640, True, False, "changed policy rules", policy_file.place),
    Kept(
        "clouds.yaml",
        0o600,
        False,
        True,
        "the first administrator's entry, with its password",
        lambda conf: config.state_path(conf, "clouds.yaml"),
    ),
)

KEYS = ("key", "ca.key")
"""Of those, what a backup `--without-key` lacks."""


def prepare(conf: cfg.ConfigOpts) -> None:
    """Make what is missing of the directory, and the database's tables or what they lack. May be
    repeated.

    Raises Conflict for what is unexpected: another owner, a symbolic link, a file that
    others could have put there.
    """
    refuse_unfinished_restore(conf)
    make_folder(conf)
    _folder(config.state_path(conf, "worker"), 0o700)
    database = sqlite_file(conf)
    if database is not None:
        prepare_sqlite(conf, database)
    with progress("Revisions of the tables") as shown:
        migrations.upgrade(config.database_url(conf), done=lambda name: shown.done(what=name))
    from abaca.workflow import dbos_database  # loads DBOS: not for every command

    dbos_database.migrate(config.database_url(conf))
    _prepare_key(conf)
    _prepare_api_lock(conf)


def api_lock(conf: cfg.ConfigOpts) -> Path:
    """The file that an API holds while it runs. Its user may read it, and so lock it."""
    return config.state_path(conf, "api.lock")


def hold_api_lock(conf: cfg.ConfigOpts) -> int:
    """Hold it from now on, with processes that are forked from this one; several APIs may. Returns
    the open file, which must stay. Raises Conflict when the state directory was not prepared, or is
    being moved, restored or removed."""
    path = api_lock(conf)
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (FileNotFoundError, PermissionError) as error:
        raise Conflict(f"{path}: {error.strerror}. Run `abaca init` first.") from None
    except BlockingIOError:
        raise Conflict(
            f"Another command moves, restores or removes {conf.state_dir}: start the API after it."
        ) from None
    return handle


def restoring(conf: cfg.ConfigOpts) -> Path:
    """The file that is there while `abaca restore` has begun and not ended."""
    return config.state_path(conf, ".restoring")


def restored_configuration(conf: cfg.ConfigOpts) -> Path:
    """The folder of a backup's configuration files that are not those in use. They may hold
    passwords."""
    return config.state_path(conf, "restored-configuration")


def refuse_unfinished_restore(conf: cfg.ConfigOpts) -> None:
    """Raises Conflict when a restore was interrupted: files and rows may not fit together."""
    if os.path.lexists(restoring(conf)):
        raise Conflict(
            f"A restore into {conf.state_dir} was interrupted: run `abaca restore` again, it "
            "begins anew."
        )


def make_folder(conf: cfg.ConfigOpts) -> None:
    """Make the state directory itself, or see that it is ours and that the API's user can get to
    it."""
    _folder(Path(conf.state_dir), 0o755)
    user, group = _api_account(conf)
    for folder in Path(conf.state_dir).parents:
        found = folder.stat()
        if (
            os.geteuid() == 0
            and user != 0
            and not found.st_mode & (stat.S_IXOTH | (stat.S_IXGRP if found.st_gid == group else 0))
        ):
            raise Conflict(
                f"{conf.api.user}, who runs the API, may not enter {folder}: choose another state "
                "directory."
            )


def database_exists(conf: cfg.ConfigOpts) -> bool:
    """Whether there is something to connect to; connecting to SQLite would make a file."""
    database = sqlite_file(conf)
    return database is None or database.exists()


def api_group(conf: cfg.ConfigOpts) -> int:
    """The group of the user that the API process runs as. Raises cfg.Error when there is no such
    user."""
    return _api_account(conf)[1]


def _api_account(conf: cfg.ConfigOpts) -> tuple[int, int]:
    """(user id, group id)"""
    if os.geteuid() != 0:
        return os.geteuid(), os.getegid()
    account = privileges.find_account(conf.api.user)
    return account.pw_uid, account.pw_gid


def replace(path: Path, text: str, mode: int, group: int) -> None:
    """Write a whole file and put it in its place at once, on stable storage, never readable for
    more than `mode` says."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    with open(
        os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "w"
    ) as file:
        file.write(text)
        file.flush()
        os.fchown(file.fileno(), -1, group)
        os.fchmod(file.fileno(), mode)
        os.fsync(file.fileno())
    new.replace(path)


@contextmanager
def alone(path: Path, refusal: str) -> Iterator[None]:
    """Hold the lock file `path`, which ends with the process. Raises Conflict with `refusal` when
    another process holds it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(refusal) from None
        yield
    finally:
        os.close(handle)


@contextmanager
def one_at_a_time(conf: cfg.ConfigOpts) -> Iterator[None]:
    """Wait for the other processes that prepare this state directory, which must be there. The lock
    ends with the process."""
    folder = config.state_path(conf, "worker")  # others may lock what they may open
    _folder(folder, 0o700)
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def sqlite_file(conf: cfg.ConfigOpts) -> Path | None:
    """The file of the database; None: it is not SQLite."""
    url = sa.make_url(config.database_url(conf))
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def prepare_sqlite(conf: cfg.ConfigOpts, database: Path) -> None:
    """Make the database's folder and an empty file, or see that they are the API's. Raises
    Conflict."""
    user, group = _api_account(conf)
    folder, is_ours = database.parent, database.is_relative_to(conf.state_dir)
    former = _former_user()
    if is_ours and _belongs_to(folder, former):
        os.chown(folder, 0, -1, follow_symlinks=False)
    if is_ours and not _belongs_to(folder, user):
        # another user's until now: from now on nobody else can put anything there
        _folder(folder, 0o700)
    if not folder.is_dir():
        raise Conflict(f"The folder of the database, {folder}, does not exist.")
    files = sorted(folder.glob(f"{database.name}*"))
    for path in files:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            raise Conflict(f"{path} must be a regular file without hard links; it is not opened.")
        if found.st_uid not in (user, former, os.geteuid()):
            raise Conflict(f"{path} belongs to another user; it is not opened.")
    if is_ours and not _belongs_to(folder, user):
        for path in files:
            os.chown(path, user, group, follow_symlinks=False)
            path.chmod(0o600)
        os.chown(folder, user, group)
    if os.geteuid() == 0 and not _belongs_to(folder, user):
        raise Conflict(
            f"The database's folder {folder} and what is in it must belong to {conf.api.user}, "
            "who runs the API."
        )
    with owner_rights(folder), suppress(FileExistsError):
        os.close(os.open(database, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))


def _former_user() -> int:
    """Whom the API ran as, unless it was configured, before it had a user of its own; the user of
    this process where that does not matter."""
    if os.geteuid() != 0:
        return os.geteuid()
    try:
        return pwd.getpwnam(_FORMER_USER).pw_uid
    except KeyError:
        return 0


def _belongs_to(folder: Path, user: int) -> bool:
    return folder.is_dir() and folder.lstat().st_uid == user


def _prepare_key(conf: cfg.ConfigOpts) -> None:
    """Make the key file; not when something is stored that only a lost one decrypts."""
    path = config.key_file(conf)
    if path.is_symlink() or path.exists():
        return
    engine = create_engine(config.database_url(conf), pool_size=1)
    try:
        with read(engine) as conn:
            is_needed = conn.scalar(
                sa.select(security_services.c.id)
                .where(security_services.c.encrypted_password.is_not(None))
                .limit(1)
            )
    finally:
        engine.dispose()
    if is_needed:
        raise Conflict(
            f"The key file {path} is missing, and the database holds passwords encrypted with it: "
            "put it back."
        )
    replace(path, new_key(), 0o640, api_group(conf))


def _prepare_api_lock(conf: cfg.ConfigOpts) -> None:
    flags = os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(api_lock(conf), flags, 0o600)
    try:
        os.fchown(handle, -1, api_group(conf))
        os.fchmod(handle, 0o640)
    finally:
        os.close(handle)


def _folder(path: Path, mode: int, group: int = -1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode):
            raise Conflict(f"{path} must be a folder, not a symbolic link.") from None
        if found.st_uid != os.geteuid():
            raise Conflict(f"{path} belongs to another user (id {found.st_uid}).") from None
    os.chown(path, -1, group)
    path.chmod(mode)
