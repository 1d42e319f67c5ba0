"""`abaca user`, the users file and `clouds.yaml`."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result
from oslo_config import cfg

from abaca import config
from abaca.admin import clouds_file, users
from abaca.admin.cli import main
from abaca.api.passwords import Passwords
from abaca.api.users_file import UsersFile
from abaca.errors import Conflict, Invalid, Missing


@pytest.fixture
def conf(tmp_path: Path) -> cfg.ConfigOpts:
    return config.load([os.devnull], {"state_dir": str(tmp_path), "api.port": 9000})


def call(conf: cfg.ConfigOpts, *arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(
        main,
        ["user", *arguments, "--config-file", os.devnull, "--state-dir", conf.state_dir],
        input=stdin,
    )


def verified(conf: cfg.ConfigOpts, name: str, password: str) -> bool:
    return Passwords(UsersFile(config.users_file(conf))).check(name, password).user is not None


def cloud(conf: cfg.ConfigOpts) -> dict[str, object]:
    clouds: dict[str, dict[str, object]] = msgspec.yaml.decode(
        clouds_file.path_of(conf).read_bytes()
    )["clouds"]
    return clouds["abaca"]


def test_the_first_start_makes_an_administrator_once(conf: cfg.ConfigOpts) -> None:
    password = users.make_first_admin(conf)
    assert password is not None and len(password) >= 20 and verified(conf, "admin", password)
    assert users.make_first_admin(conf) is None
    assert users.read(conf)["admin"].roles == ("admin",)


def test_the_clouds_file_is_for_its_owner_only_and_names_both_services(
    conf: cfg.ConfigOpts,
) -> None:
    password = users.make_first_admin(conf)
    assert stat.S_IMODE(clouds_file.path_of(conf).stat().st_mode) == 0o600
    assert cloud(conf)["auth"] == {
        "endpoint": "http://127.0.0.1:9000",
        "username": "admin",
        "password": password,
    }
    assert cloud(conf)["network_endpoint_override"] == "http://127.0.0.1:9000/network"


@pytest.mark.parametrize(
    ("options", "url"),
    [
        ({"api.listen": "0.0.0.0"}, "https://127.0.0.1:9000"),
        ({"api.listen": "::"}, "https://[::1]:9000"),
        ({"api.listen": "::", "api.allow_cleartext": True}, "http://[::1]:9000"),
        (
            {"api.listen": "fd00::1", "api.ssl_certificate": "/c.pem", "api.ssl_key": "/k.pem"},
            "https://[fd00::1]:9000",
        ),
        ({"api.public_endpoint": "https://shares.example.org/"}, "https://shares.example.org"),
    ],
)
def test_clients_are_told_an_address_that_they_can_reach(
    conf: cfg.ConfigOpts, options: dict[str, object], url: str
) -> None:
    conf = config.load([os.devnull], {"state_dir": conf.state_dir, "api.port": 9000, **options})
    assert clouds_file.base_url(conf) == url


def test_the_clouds_file_follows_a_new_port_and_keeps_entries_of_others(
    conf: cfg.ConfigOpts,
) -> None:
    password = users.make_first_admin(conf)
    theirs = {"auth_type": "none"}
    clouds_file.write(conf, {"abaca": cloud(conf), "other": theirs})
    moved = config.load([os.devnull], {"state_dir": conf.state_dir, "api.port": 9001})
    clouds_file.follow_address(moved)
    assert cloud(moved)["auth"] == {
        "endpoint": "http://127.0.0.1:9001",
        "username": "admin",
        "password": password,
    }
    assert msgspec.yaml.decode(clouds_file.path_of(conf).read_bytes())["clouds"]["other"] == theirs


def test_a_broken_clouds_file_is_not_written_over(conf: cfg.ConfigOpts) -> None:
    clouds_file.path_of(conf).write_text("clouds: {}\n")
    with pytest.raises(Conflict, match="has no entry 'abaca'"):
        clouds_file.follow_address(conf)
    assert clouds_file.path_of(conf).read_text() == "clouds: {}\n"


def test_a_user_is_added_with_a_printed_password_and_an_entry_of_the_running_service(
    conf: cfg.ConfigOpts,
) -> None:
    users.make_first_admin(conf)
    result = call(conf, "add", "mary", "--project", "blue")
    assert result.exit_code == 0, result.output
    password = result.output.splitlines()[0].removeprefix("Password of mary: ")
    assert verified(conf, "mary", password)
    entry = msgspec.yaml.decode(result.output[result.output.index("clouds:") :])["clouds"][
        "abaca-mary"
    ]
    # not the default port
    assert entry["auth"] == {
        "endpoint": "http://127.0.0.1:9000",
        "username": "mary",
        "password": password,
    }
    user = users.read(conf)["mary"]
    assert (user.project_id, user.roles) == ("blue", ("member",))


def test_a_given_password_is_not_printed(conf: cfg.ConfigOpts) -> None:
    result = call(
        conf,
        "add",
        "mary",
        "--project",
        "blue",
        "--role",
        "reader",
        "--role",
        "member",
        "--password-stdin",
        stdin="geheim\n",
    )
    assert (result.exit_code, result.output) == (0, "")
    assert verified(conf, "mary", "geheim") and users.read(conf)["mary"].roles == (
        "reader",
        "member",
    )
    assert "geheim" not in config.users_file(conf).read_text()


def test_users_are_listed_without_hashes(conf: cfg.ConfigOpts) -> None:
    users.add(conf, "mary", "blue", ["member"])
    assert call(conf, "list").output == "mary  project blue  roles member\n"


def test_a_new_password_of_the_administrator_reaches_the_clouds_file(conf: cfg.ConfigOpts) -> None:
    old = users.make_first_admin(conf)
    result = call(conf, "passwd", "admin")
    new = result.output.strip().removeprefix("Password of admin: ")
    assert old is not None and not verified(conf, "admin", old) and verified(conf, "admin", new)
    assert cloud(conf)["auth"] == {
        "endpoint": "http://127.0.0.1:9000",
        "username": "admin",
        "password": new,
    }


def test_a_user_is_removed(conf: cfg.ConfigOpts) -> None:
    users.add(conf, "mary", "blue", ["member"], "secret")
    assert call(conf, "remove", "mary").exit_code == 0
    assert not verified(conf, "mary", "secret")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("add", "mary", "--project", "blue"), "User 'mary' already exists."),
        (("add", "ma:ry", "--project", "blue"), "'ma:ry' cannot be a user name"),
        (("add", "mary\nroot", "--project", "blue"), "cannot be a user name"),
        (("add", "bob", "--project", "a b"), "'a b' cannot be a project"),
        (("add", "bob", "--project", "blue", "--role", "king"), "'king' is not one of"),
        (("passwd", "bob"), "There is no user 'bob'."),
        (("remove", "bob"), "There is no user 'bob'."),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(
    conf: cfg.ConfigOpts, arguments: tuple[str, ...], message: str
) -> None:
    users.add(conf, "mary", "blue", ["member"])
    before = config.users_file(conf).read_text()
    result = call(conf, *arguments)
    assert result.exit_code != 0 and message in result.output
    assert config.users_file(conf).read_text() == before


def test_errors_have_their_kinds(conf: cfg.ConfigOpts) -> None:
    with pytest.raises(Invalid, match="at most 72 bytes"):
        users.add(conf, "mary", "blue", ["member"], "x" * 73)
    with pytest.raises(Missing):
        users.remove(conf, "mary")
    config.users_file(conf).write_text("nonsense\n")
    with pytest.raises(Conflict, match="line 1 is not of the form"):
        users.read(conf)
