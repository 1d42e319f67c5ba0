"""The cipher of stored passwords: keys are found, changed and missed; nothing secret is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from abaca.db.encryption import Cipher, new_key
from abaca.errors import Unavailable
from abaca.values import SecurityService
from tests.stack import write_key


def test_there_and_back(tmp_path: Path) -> None:
    write_key(tmp_path / "key")
    cipher = Cipher(tmp_path / "key")
    for text in ("", "not in there by chance", "ä ☃", "x" * 255):
        token = cipher.encrypt(text)
        assert cipher.decrypt(token) == text and token.isascii()
        assert cipher.encrypt(text) != token
        assert not text or text not in token


def test_a_new_key_in_front_encrypts_and_the_old_one_still_decrypts(tmp_path: Path) -> None:
    key = tmp_path / "key"
    old, new = new_key(), new_key()
    key.write_text(old)
    key.chmod(0o600)
    cipher = Cipher(key)
    before = cipher.encrypt("p")
    key.write_text(new + old)
    os.utime(key, (1, 1))  # as if time had passed: the change is seen
    after = cipher.encrypt("q")
    assert (cipher.decrypt(before), cipher.decrypt(after)) == ("p", "q")
    key.write_text(new)
    os.utime(key, (2, 2))
    assert cipher.decrypt(after) == "q"
    with pytest.raises(Unavailable, match="not the one"):
        cipher.decrypt(before)


@pytest.mark.parametrize("content", [None, "", "no key\n", "ä", "x" * 44])
def test_a_key_file_that_is_none(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "key").write_text(content)
        (tmp_path / "key").chmod(0o600)
    with pytest.raises(Unavailable, match="key file") as error:
        Cipher(tmp_path / "key").encrypt("secret")
    assert "secret" not in error.value.message and (
        not content or content not in error.value.message
    )


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o620, 0o644, 0o666])
def test_a_key_file_that_others_may_read_or_write_is_not_used(tmp_path: Path, mode: int) -> None:
    write_key(tmp_path / "key")
    cipher = Cipher(tmp_path / "key")
    (tmp_path / "key").chmod(mode)
    with pytest.raises(Unavailable, match="others may read or write it"):
        cipher.encrypt("secret")
    (tmp_path / "key").chmod(0o640)
    assert cipher.decrypt(cipher.encrypt("secret")) == "secret"


def test_a_security_service_is_shown_without_its_password() -> None:
    service = SecurityService(id="s", type="ldap", user="u", password="secret")
    assert "secret" not in f"{service} {service!r} {[service]}"
