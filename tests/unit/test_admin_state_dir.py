"""The state directory: what is made, and what is not opened because others could have put it
there."""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from oslo_config import cfg

from abaca import config
from abaca.admin import own_tls, state_dir, tokens, users
from abaca.admin.logs import shown_url
from abaca.admin.settings import Settings
from abaca.db import migrations
from abaca.db.encryption import Cipher
from abaca.db.session import begin, create_engine, utcnow
from abaca.db.tables import security_services
from abaca.errors import Conflict
from tests.service import PROGRAM, UNPRIVILEGED, reachable_folder, unprivileged_reason

pytestmark = pytest.mark.slow("a process of another user each")

needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="needs root: what is looked at is who owns what"
)


@pytest.fixture
def conf() -> Iterator[cfg.ConfigOpts]:
    with reachable_folder() as folder:
        yield config.load([os.devnull], {"state_dir": str(folder / "state")})


def test_it_is_made_with_a_database_at_the_newest_revision(conf: cfg.ConfigOpts) -> None:
    state_dir.prepare(conf)
    state_dir.prepare(conf)
    assert migrations.current(config.database_url(conf)) == migrations.head()
    modes = {
        name: stat.S_IMODE(config.state_path(conf, *name).stat().st_mode)
        for name in ((), ("worker",), ("db",), ("db", "abaca.sqlite"))
    }
    assert list(modes.values()) == [0o755, 0o700, 0o700, 0o600]


def test_the_key_is_made_once_and_for_the_api_to_read(conf: cfg.ConfigOpts) -> None:
    state_dir.prepare(conf)
    key = config.key_file(conf)
    before = key.read_text()
    state_dir.prepare(conf)
    assert key.read_text() == before
    assert (stat.S_IMODE(key.stat().st_mode), key.stat().st_gid) == (
        0o640,
        state_dir.api_group(conf),
    )
    assert Cipher(key).decrypt(Cipher(key).encrypt("p")) == "p"


def test_what_is_kept_is_made_with_the_modes_that_are_said(conf: cfg.ConfigOpts) -> None:
    """But for the policy, which an administrator writes."""
    state_dir.prepare(conf)
    users.make_first_admin(conf)
    admin = users.existing(users.read(conf), users.ADMIN)
    tokens.create(conf, "nightly", admin, ["admin"], None)
    conf.set_override("listen", "192.0.2.1", "api")
    own_tls.keep(conf)
    found = {}
    for kept in state_dir.KEPT:
        path = kept.place(conf)
        assert path == config.state_path(conf, kept.name)
        if path.exists():
            found[kept.name] = path.stat()
    assert found.keys() == {kept.name for kept in state_dir.KEPT} - {"policy.yaml"}
    for kept in state_dir.KEPT:
        if kept.name in found:
            assert stat.S_IMODE(found[kept.name].st_mode) == kept.mode, kept.name
            is_the_apis = found[kept.name].st_gid == state_dir.api_group(conf)
            assert is_the_apis or not kept.is_for_api, kept.name
        assert not kept.is_secret or not kept.mode & stat.S_IRWXO, kept.name


def test_the_guide_lists_what_is_kept() -> None:
    guide = Path(__file__).parents[2] / "docs" / "how-to" / "administrator-guide.md"
    listed = [line for line in guide.read_text().splitlines() if line.startswith("| `")]
    for kept in state_dir.KEPT:
        (row,) = [line for line in listed if line.startswith(f"| `{kept.name}` |")]
        assert f"| {kept.mode:04o} |" in row or kept.name == "policy.yaml", row


def test_a_lost_key_is_not_replaced_while_something_needs_it(conf: cfg.ConfigOpts) -> None:
    state_dir.prepare(conf)
    key = config.key_file(conf)
    token = Cipher(key).encrypt("p")
    key.unlink()
    state_dir.prepare(conf)
    engine = create_engine(config.database_url(conf))
    values = {
        "id": "s",
        "project_id": "p",
        "type": "ldap",
        "encrypted_password": token,
        "created_at": utcnow(),
    }
    with begin(engine) as conn:
        conn.execute(sa.insert(security_services).values(values))
    state_dir.prepare(conf)
    key.unlink()
    with pytest.raises(Conflict, match="put it back"):
        state_dir.prepare(conf)
    assert not key.exists()
    engine.dispose()


@pytest.mark.parametrize("name", ["abaca.sqlite", "abaca.sqlite-wal", "abaca.sqlite-journal"])
def test_a_symbolic_link_in_the_place_of_a_database_file_is_refused(
    conf: cfg.ConfigOpts, tmp_path: Path, name: str
) -> None:
    folder = config.state_path(conf, "db")
    folder.mkdir(parents=True)
    (folder / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Conflict, match="must be a regular file"):
        state_dir.prepare(conf)
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_with_a_second_name_is_refused(conf: cfg.ConfigOpts) -> None:
    folder = config.state_path(conf, "db")
    folder.mkdir(parents=True)
    (folder / "original").touch()
    os.link(folder / "original", folder / "abaca.sqlite")
    with pytest.raises(Conflict, match="must be a regular file"):
        state_dir.prepare(conf)


def test_a_symbolic_link_in_the_place_of_a_folder_is_refused(
    conf: cfg.ConfigOpts, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    config.state_path(conf).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Conflict, match="must be a folder, not a symbolic link"):
        state_dir.prepare(conf)


@needs_root
def test_a_folder_of_somebody_else_is_refused(conf: cfg.ConfigOpts) -> None:
    config.state_path(conf).mkdir()
    os.chown(conf.state_dir, 12345, 12345)
    with pytest.raises(Conflict, match="belongs to another user"):
        state_dir.prepare(conf)


@needs_root
def test_a_database_of_somebody_else_is_refused(conf: cfg.ConfigOpts) -> None:
    state_dir.prepare(conf)
    os.chown(config.state_path(conf, "db", "abaca.sqlite"), 12345, -1)
    with pytest.raises(Conflict, match="belongs to another user"):
        state_dir.prepare(conf)


@needs_root
def test_the_shared_folder_of_an_older_release_is_handed_to_the_apis_user(
    conf: cfg.ConfigOpts,
) -> None:
    state_dir.prepare(conf)
    folder, database = config.state_path(conf, "db"), config.state_path(conf, "db", "abaca.sqlite")
    user, group = folder.stat().st_uid, state_dir.api_group(conf)
    for path, mode in ((database, 0o660), (folder, 0o1770)):
        os.chown(path, 0, group)
        path.chmod(mode)
    state_dir.prepare(conf)
    assert [
        (stat.S_IMODE(path.stat().st_mode), path.stat().st_uid) for path in (folder, database)
    ] == [(0o700, user), (0o600, user)]
    assert user != 0
    assert migrations.current(config.database_url(conf)) == migrations.head()


@needs_root
def test_the_folder_of_the_user_before_the_api_had_its_own_is_handed_over(
    conf: cfg.ConfigOpts,
) -> None:
    state_dir.prepare(conf)
    folder, database = config.state_path(conf, "db"), config.state_path(conf, "db", "abaca.sqlite")
    user, former = folder.stat().st_uid, pwd.getpwnam("nobody").pw_uid
    assert user != former
    for path in (database, folder):
        os.chown(path, former, -1)
    state_dir.prepare(conf)
    assert {path.stat().st_uid for path in (folder, *folder.iterdir())} == {user}
    assert migrations.current(config.database_url(conf)) == migrations.head()


@needs_root
def test_below_a_closed_folder_of_roots_the_api_runs_as_root_when_that_is_said(
    conf: cfg.ConfigOpts,
) -> None:
    Path(conf.state_dir).parent.chmod(0o700)
    conf.set_override("user", "root", group="api")
    state_dir.prepare(conf)
    assert config.state_path(conf, "db").stat().st_uid == 0


@needs_root
def test_a_database_in_a_folder_of_roots_elsewhere_is_refused(
    conf: cfg.ConfigOpts, tmp_path: Path
) -> None:
    conf.set_override("connection", f"sqlite:///{tmp_path}/abaca.sqlite", group="database")
    with pytest.raises(Conflict, match=f"{tmp_path} and what is in it must belong to abaca"):
        state_dir.prepare(conf)
    assert not (tmp_path / "abaca.sqlite").exists()


@needs_root
def test_a_place_that_the_api_cannot_reach_is_refused(conf: cfg.ConfigOpts) -> None:
    folder = Path(conf.state_dir).parent
    folder.chmod(0o700)
    with pytest.raises(Conflict, match=f"who runs the API, may not enter {folder}"):
        state_dir.prepare(conf)


@needs_root
def test_a_user_that_is_not_there_is_named(conf: cfg.ConfigOpts) -> None:
    conf.set_override("user", "no-such-user", group="api")
    with pytest.raises(cfg.Error, match=r"user = no-such-user: there is no such user.*useradd"):
        state_dir.prepare(conf)


def test_a_lock_is_held_by_one(tmp_path: Path) -> None:
    with (
        state_dir.alone(tmp_path / "lock", "taken"),
        pytest.raises(Conflict, match="taken"),
        state_dir.alone(tmp_path / "lock", "taken"),
    ):
        pass
    with state_dir.alone(tmp_path / "lock", "taken"):
        pass


def test_another_process_gets_the_same_configuration(tmp_path: Path) -> None:
    (tmp_path / "abaca.conf").write_text("[api]\nport = 9000\nlisten = ::1\n")
    settings = Settings(
        (str(tmp_path / "abaca.conf"),), (), str(tmp_path / "state"), True, port=9001
    )
    arguments = settings.arguments(settings.load())
    assert arguments == [
        "--config-file", f"{tmp_path}/abaca.conf", "--state-dir", f"{tmp_path}/state", "--listen",
         "::1", "--port", "9001", "--verbose",
    ]  # fmt: skip


def test_a_database_url_is_shown_without_its_password() -> None:
    assert (
        shown_url("postgresql+psycopg://abaca:geheim@db/abaca")
        == "postgresql+psycopg://abaca:***@db/abaca"
    )


@needs_root
def test_a_user_who_may_not_write_to_the_system_gets_a_state_directory_of_their_own() -> None:
    reason = unprivileged_reason()
    if reason:
        pytest.skip(reason)
    environment = {"HOME": "/nonexistent", "XDG_STATE_HOME": "/var/tmp/nobodys", "PATH": os.defpath}
    command = [*PROGRAM, "doctor", "--config-file", os.devnull]
    done = subprocess.run(
        command,
        user=UNPRIVILEGED,
        env=environment,
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1  # root is missing, at least
    assert "State directory /var/tmp/nobodys/abaca" in done.stdout
