"""Where backups are kept: a folder with a restic repository for each share, which nobody reads
without the worker's key.

The folder may be a mount of the administrator's (NFS, another disk). A mark in it tells it from the
empty folder that is seen while that is not mounted.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from abaca.drivers.linux.layout import Layout, require_trusted, safe_id, write_atomically
from abaca.drivers.linux.programs import is_installed, os_errors_sorted
from abaca.errors import BackendError, Unavailable
from abaca.plugin_options import Option
from abaca.values import Backup, Finding

OPTIONS = {
    "backup_folder": Option(
        "Folder that backups of shares are kept in: /srv/backups. It belongs to root, and only "
        "root may write to it and above it. Without it, shares of this back end have no backups."
    ),
}
RESTIC = "restic"  # and the Debian package
MARK = "abaca-backups"
_KEY_BYTES = 32


class Target:
    """`folder`: where backups are kept. `record`: the file that says which folder has been marked,
    `key`: the one with the secret of all passwords; both are made when they are needed first."""

    def __init__(self, folder: Path, record: Path, key: Path) -> None:
        self.folder, self._record, self._key = folder, record, key

    @classmethod
    def of(cls, options: Mapping[str, str], layout: Layout) -> Target | None:
        """None without the option. Raises Unavailable when it makes no sense."""
        given = options["backup_folder"]
        if not given:
            return None
        folder = Path(given)
        if not folder.is_absolute():
            raise Unavailable(f"option backup_folder must be an absolute path, not '{given}'")
        return cls(folder, layout.state / "backup-folder", layout.backup_key)

    def require(self) -> None:
        """Make sure that the folder is the one that backups are in. Raises Unavailable, with what
        to do."""
        with os_errors_sorted("the folder of backups"):
            self._require_usable()
            self._require_marked()
            if self._mark() is None:
                write_atomically(self.folder / MARK, f"{self._fingerprint()}\n")
            if self._recorded() != str(self.folder):
                write_atomically(self._record, f"{self.folder}\n")

    def repository(self, backup: Backup) -> Path:
        """The folder of a share's backups. Raises Refused for ids that cannot be part of a path."""
        return self.folder / safe_id(backup.project_id) / safe_id(backup.share_id)

    def password(self, backup: Backup) -> str:
        """Of a share's repository: each has its own."""
        return _derived(self._secret(), f"repository {backup.share_id}")

    def findings(self) -> Iterator[Finding]:
        """Whether backups could be made now. Changes nothing."""
        try:
            with os_errors_sorted("the folder of backups"):
                self._require_usable()
                self._require_marked()
        except BackendError as error:
            yield Finding(what="backups", lack=error.message)
        else:
            yield Finding(what="backups", seen=f"kept in {self.folder}")

    def _require_usable(self) -> None:
        if not is_installed(RESTIC):
            raise Unavailable("backups need the program restic (Debian package restic)")
        if not self.folder.is_dir():
            raise Unavailable(
                f"backup_folder {self.folder} is not there: make it, or mount it again"
            )
        require_trusted(self.folder)

    def _require_marked(self) -> None:
        """With our mark, or never used."""
        marked = self._mark()
        if marked is None and self._recorded() == str(self.folder):
            raise Unavailable(
                f"backup_folder {self.folder} lacks its file {MARK}: mount what was there; or "
                f"remove {self._record} to begin anew, without the backups that there were"
            )
        if marked is not None and not self._key.exists():
            raise Unavailable(
                f"the key of the backups in {self.folder} is not there: put it back as {self._key}"
            )
        if marked is not None and marked != self._fingerprint():
            raise Unavailable(
                f"the backups in {self.folder} were made with another key than {self._key}: put "
                "theirs there, or set another backup_folder"
            )

    def _mark(self) -> str | None:
        with suppress(FileNotFoundError):
            return (self.folder / MARK).read_text(errors="replace").strip()
        return None

    def _recorded(self) -> str | None:
        with suppress(FileNotFoundError):
            return self._record.read_text().strip()
        return None

    def _fingerprint(self) -> str:
        return _derived(self._secret(), "mark")

    def _secret(self) -> bytes:
        if not self._key.exists():
            new = self._key.with_name(f".{self._key.name}.{os.getpid()}")
            write_atomically(new, f"{secrets.token_hex(_KEY_BYTES)}\n")
            with suppress(FileExistsError):  # another back end of this worker was first
                os.link(new, self._key)
            new.unlink()
        with suppress(ValueError):
            key = bytes.fromhex(self._key.read_text())
            if len(key) == _KEY_BYTES:
                return key
        raise Unavailable(f"{self._key} is not a key of backups: put back the one that was there")


def _derived(secret: bytes, purpose: str) -> str:
    return hmac.new(secret, purpose.encode(), hashlib.sha256).hexdigest()
