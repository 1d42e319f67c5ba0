"""Encryption of the few columns that nobody may read from a copy of the database: passwords of
security services.

The key is in a file beside the database, not in it. Which columns: `encrypted_…` in `tables/`.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from abaca.db.private_files import Exposed, read_private
from abaca.errors import Unavailable

LOG = logging.getLogger(__name__)


class Cipher:
    """Encrypts and decrypts with the keys in a file: one a line, the first encrypts, all decrypt.

    The file is read when it is first needed and whenever it has changed. Raises Unavailable, which
    names neither keys nor texts, when it cannot be read, and when no key in it fits.
    """

    def __init__(self, key_file: Path) -> None:
        self._file = key_file
        self._read: tuple[tuple[int, int], MultiFernet] | None = None

    def encrypt(self, text: str) -> str:
        """`text` as a Fernet token; another one each time."""
        return self._keys().encrypt(text.encode()).decode()

    def decrypt(self, token: str) -> str:
        """The text that `encrypt` was given."""
        try:
            return self._keys().decrypt(token.encode()).decode()
        except InvalidToken:
            said = (
                "A stored password cannot be decrypted: the key file is not the one that it "
                "was encrypted with."
            )
            raise Unavailable(said, is_public=True) from None

    def _keys(self) -> MultiFernet:
        try:
            found = os.stat(self._file)
            stamp = (found.st_mtime_ns, found.st_ino)
            if self._read is None or self._read[0] != stamp:
                lines = read_private(self._file).split()
                self._read = stamp, MultiFernet([Fernet(line) for line in lines])
        except Exposed as error:
            LOG.error("%s", error)
            raise Unavailable(
                "The key file for stored passwords is not used: others may read or write it.",
                is_public=True,
            ) from None
        except (OSError, ValueError) as error:
            raise Unavailable(
                f"The key file for stored passwords cannot be used ({type(error).__name__}).",
                is_public=True,
            ) from None
        return self._read[1]


def new_key() -> str:
    """The content of a new key file."""
    return f"{Fernet.generate_key().decode()}\n"
