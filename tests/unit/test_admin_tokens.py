"""`abaca token`: application tokens in their file, and who they log in."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import bcrypt
import msgspec
import pytest
from click.testing import CliRunner, Result
from oslo_config import cfg

from abaca import config
from abaca.admin import tokens, users
from abaca.admin.cli import main
from abaca.api.passwords import Known
from abaca.api.tokens_file import ApplicationTokens, parse
from abaca.api.users_file import UsersFile
from abaca.errors import Conflict, Invalid, Missing

LATER = datetime(2999, 1, 31, 12, 0, tzinfo=UTC)
HASH = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
PAST = datetime(2020, 1, 31, 12, 0, tzinfo=UTC)


@pytest.fixture
def conf(tmp_path: Path) -> cfg.ConfigOpts:
    conf = config.load([os.devnull], {"state_dir": str(tmp_path)})
    add_user(conf, "admin:control:admin")
    add_user(conf, "mary:blue:member")
    return conf


def add_user(conf: cfg.ConfigOpts, line: str) -> None:
    path = config.users_file(conf)
    path.touch(0o600)
    name, rest = line.split(":", 1)
    path.write_text(f"{path.read_text()}{name}:{HASH}:{rest}\n")


def call(conf: cfg.ConfigOpts, *arguments: str) -> Result:
    return CliRunner().invoke(
        main, ["token", *arguments, "--config-file", os.devnull, "--state-dir", conf.state_dir]
    )


def created(
    conf: cfg.ConfigOpts,
    name: str = "csi",
    roles: list[str] | None = None,
    end: datetime | None = LATER,
    user: str = "mary",
) -> str:
    _, secret = tokens.create(conf, name, users.read(conf)[user], roles or [], end)
    return secret


def found(conf: cfg.ConfigOpts, login: str, secret: str) -> Known | None:
    file = UsersFile(config.users_file(conf))
    return ApplicationTokens(config.tokens_file(conf), file).find(login, secret)


def rewrite(conf: cfg.ConfigOpts, old: str, new: str) -> None:
    path = config.tokens_file(conf)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_token_is_its_user_with_the_tokens_roles(conf: cfg.ConfigOpts) -> None:
    secret = created(conf, roles=["reader"])
    known = found(conf, "mary+csi", secret)
    assert known is not None and known.user is not None
    assert (known.user.name, known.user.project_id, known.user.roles, known.token) == (
        "mary", "blue", ("reader",), "csi",
    )  # fmt: skip
    everything = found(conf, "mary+all", created(conf, "all"))
    assert everything is not None and everything.user is not None
    assert everything.user.roles == ("member",), "without roles it has the user's"


def test_its_secret_is_stored_nowhere(conf: cfg.ConfigOpts) -> None:
    secret = created(conf)
    path = config.tokens_file(conf)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    for file in path.parent.iterdir():
        assert file.is_dir() or secret not in file.read_text(errors="replace"), file


@pytest.mark.parametrize("login", ["mary+other", "mary", "anna+csi", "mary+csi+", "+csi", "mary+"])
def test_another_login_has_not_this_secret(conf: cfg.ConfigOpts, login: str) -> None:
    secret = created(conf)
    assert found(conf, login, secret) is None
    assert found(conf, "mary+csi", secret + "x") is None
    assert found(conf, "mary+csi", "") is None
    assert found(conf, "mary+csi", secret) is not None


def test_a_token_ends(conf: cfg.ConfigOpts) -> None:
    ended = created(conf, "old", end=datetime.now(UTC) - timedelta(hours=1))
    assert "mary+old" in tokens.read(conf) and found(conf, "mary+old", ended) is None
    assert found(conf, "mary+always", created(conf, "always", end=None)) is not None


def test_a_token_has_no_more_than_its_user_still_has(conf: cfg.ConfigOpts) -> None:
    admin = created(conf, "deploy", ["admin"], user="admin")
    reader = created(conf, "look", ["reader"], user="admin")
    path = config.users_file(conf)
    path.write_text(path.read_text().replace(":control:admin\n", ":control:member\n"))
    assert found(conf, "admin+deploy", admin) is None
    assert found(conf, "admin+look", reader) is not None, "a member is a reader, too"


def test_a_token_cannot_have_a_role_that_its_user_lacks(conf: cfg.ConfigOpts) -> None:
    with pytest.raises(Invalid, match="User 'mary' has no role admin"):
        created(conf, roles=["admin", "member"])


def test_a_user_who_goes_takes_the_tokens_along_and_a_namesake_gets_none(
    conf: cfg.ConfigOpts,
) -> None:
    secret = created(conf)
    others = created(conf, user="admin")
    users.remove(conf, "mary")
    add_user(conf, "mary:red:member")
    assert found(conf, "mary+csi", secret) is None
    assert found(conf, "admin+csi", others) is not None


def test_a_namesake_of_a_user_whose_line_was_deleted_by_hand_gets_no_tokens(
    conf: cfg.ConfigOpts,
) -> None:
    secret = created(conf)
    others = created(conf, user="admin")
    path = config.users_file(conf)
    path.write_text("".join(each for each in path.open() if not each.startswith("mary:")))
    users.add(conf, "mary", "red", ["admin"])
    assert found(conf, "mary+csi", secret) is None
    assert list(tokens.read(conf)) == ["admin+csi"]
    assert found(conf, "admin+csi", others) is not None


def test_a_user_without_roles_gets_no_token_that_breaks_the_file(conf: cfg.ConfigOpts) -> None:
    secret = created(conf)
    add_user(conf, "nina:blue:")
    with pytest.raises(Invalid, match="User 'nina' has no role"):
        created(conf, user="nina")
    assert found(conf, "mary+csi", secret) is not None


def test_a_user_of_exactly_that_name_comes_first(conf: cfg.ConfigOpts) -> None:
    secret = created(conf)
    add_user(conf, "mary+csi:blue:member")
    assert "mary+csi" in users.read(conf)
    assert found(conf, "mary+csi", secret) is None


def test_a_name_is_taken_until_its_token_has_ended(conf: cfg.ConfigOpts) -> None:
    first = created(conf)
    with pytest.raises(Conflict, match="has a token 'csi' already"):
        created(conf)
    assert found(conf, "mary+csi", first) is not None
    created(conf, "old", end=datetime.now(UTC) - timedelta(days=1))
    assert found(conf, "mary+old", created(conf, "old")) is not None


def test_tokens_that_ended_a_month_ago_are_dropped_at_the_next_change(conf: cfg.ConfigOpts) -> None:
    created(conf, "forgotten", end=PAST)
    created(conf, "yesterdays", end=datetime.now(UTC) - timedelta(days=1))
    assert sorted(tokens.read(conf)) == ["mary+yesterdays"]


@pytest.mark.parametrize("name", ["", "a+b", "a:b", "a b", "ä", "x" * 65, "-x", "a\nb"])
def test_a_name_that_cannot_be_one_is_refused(conf: cfg.ConfigOpts, name: str) -> None:
    with pytest.raises(Invalid, match="cannot be a token's name"):
        created(conf, name)


@pytest.mark.parametrize(
    "wrong",
    [
        "mary:csi",
        "mary:csi:short:member:never",
        "mary:csi:" + "0" * 64 + "::never",
        ":csi:" + "0" * 64 + ":member:never",
        "mary:csi:" + "0" * 64 + ":member:tomorrow",
        "mary:csi:" + "0" * 64 + ":member",
        "mary:csi:" + "0" * 64 + ":member:2027-01-31T12:00",
    ],
)
def test_a_line_that_is_no_token_is_named(conf: cfg.ConfigOpts, wrong: str) -> None:
    with pytest.raises(ValueError, match="line 2"):
        parse(f"# a comment\n{wrong}\n")
    config.tokens_file(conf).write_text(f"# a comment\n{wrong}\n")
    config.tokens_file(conf).chmod(0o600)
    assert found(conf, "mary+csi", "secret") is None
    result = call(conf, "list")
    assert result.exit_code == 1 and "line 2" in result.output
    with pytest.raises(Conflict, match="line 2"):
        created(conf)
    assert wrong in config.tokens_file(conf).read_text(), "a broken file is not written over"


def test_a_file_that_others_may_read_counts_for_nobody(
    conf: cfg.ConfigOpts, caplog: pytest.LogCaptureFixture
) -> None:
    secret = created(conf)
    config.tokens_file(conf).chmod(0o644)
    assert found(conf, "mary+csi", secret) is None
    assert "may be read or written by others" in caplog.text


def test_the_command_prints_the_secret_once_and_an_entry_that_works(conf: cfg.ConfigOpts) -> None:
    result = call(conf, "create", "csi", "--user", "mary", "--role", "reader", "--days", "30")
    assert result.exit_code == 0, result.output
    auth = msgspec.yaml.decode(result.output[result.output.index("clouds:") :])["clouds"][
        "abaca-mary-csi"
    ]["auth"]
    assert auth["username"] == "mary+csi" and result.output.count(auth["password"]) == 2
    assert found(conf, "mary+csi", auth["password"]) is not None
    listed = call(conf, "list")
    assert auth["password"] not in listed.output
    end = (datetime.now(UTC) + timedelta(days=30)).strftime("%Y-%m-%d")
    assert f"mary+csi  active  roles reader  ends {end}" in listed.output


def test_the_list_says_why_a_token_does_not_count(conf: cfg.ConfigOpts) -> None:
    created(conf, "old", end=datetime.now(UTC) - timedelta(hours=1))
    created(conf, "deploy", ["admin"], user="admin")
    created(conf, "csi", end=None)
    path = config.users_file(conf)
    path.write_text(path.read_text().replace(":control:admin\n", ":control:member\n"))
    rows = {row["name"]: row for row in msgspec.json.decode(call(conf, "list", "--json").output)}
    assert {name: row["state"] for name, row in rows.items()} == {
        "old": "ended", "deploy": "no role left", "csi": "active",
    }  # fmt: skip
    assert rows["csi"] == {
        "user": "mary", "name": "csi", "roles": ["member"], "end": "never", "state": "active",
    }  # fmt: skip
    only = call(conf, "list", "--user", "admin").output
    assert "admin+deploy" in only and "mary" not in only


def test_a_revoked_token_counts_no_longer(conf: cfg.ConfigOpts) -> None:
    secret = created(conf)
    assert call(conf, "revoke", "csi", "--user", "mary").exit_code == 0
    assert found(conf, "mary+csi", secret) is None
    with pytest.raises(Missing, match="User 'mary' has no token 'csi'"):
        tokens.revoke(conf, "csi", "mary")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["create", "csi", "--user", "nobody"], "There is no user 'nobody'."),
        (["create", "csi"], "Missing option '--user'"),
        (["create", "csi", "--user", "mary", "--days", "0"], "0 is not in the range"),
        (["create", "csi", "--user", "mary", "--role", "admin"], "has no role admin"),
        (["revoke", "nope", "--user", "mary"], "User 'mary' has no token 'nope'."),
    ],
)
def test_what_is_wrong_is_said(conf: cfg.ConfigOpts, arguments: list[str], says: str) -> None:
    result = call(conf, *arguments)
    assert result.exit_code != 0 and says in result.output
    assert not config.tokens_file(conf).exists() or not tokens.read(conf)
