"""`abaca uninstall` without file servers: whom it asks, when it refuses, and that it removes files
by their names only."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from abaca.admin import cli, installed
from abaca.admin.settings import Settings
from tests.service import FAKE_BACKEND, reachable_folder


@pytest.fixture
def folder() -> Iterator[Path]:
    """An installation that was used: files as they are made by others are empty here."""
    with reachable_folder() as made:
        (made / "abaca.conf").write_text(FAKE_BACKEND)
        state = made / "state"
        for name in ("db", "worker", "restored-configuration"):
            (state / name).mkdir(parents=True)
        for name in ("db/abaca.sqlite", "worker/host.lock", "worker/fake.json", "users", "key",
                     "clouds.yaml", ".users.lock", "serve.lock", "api.lock",
                     "restored-configuration/00-abaca.conf"):  # fmt: skip
            (state / name).touch()
        yield made


def arguments(folder: Path) -> list[str]:
    return ["--config-file", str(folder / "abaca.conf"), "--state-dir", str(folder / "state")]


def call(folder: Path, *options: str) -> Result:
    return CliRunner().invoke(cli.main, ["uninstall", *options, *arguments(folder)])


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_the_state_goes_with_everything_in_it(folder: Path) -> None:
    before = files(folder)
    shown = call(folder, "--data", "--state", "--dry-run")
    assert shown.exit_code == 0 and "files of the state directory" in shown.output
    assert files(folder) == before
    done = call(folder, "--data", "--state", "--yes")
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[-1] == "Nothing is left."
    assert files(folder) == {"abaca.conf"}


def test_what_others_have_put_there_stays_and_no_link_is_followed(folder: Path) -> None:
    precious = folder / "precious"
    precious.mkdir()
    (precious / "file").touch()
    (folder / "state" / "notes").touch()
    (folder / "state" / "db" / "link").symlink_to(precious)
    (folder / "state" / "worker" / "linux").symlink_to(precious)
    done = call(folder, "--data", "--state", "--yes")
    assert done.exit_code == 0, done.output
    assert files(folder) == {"abaca.conf", "precious", "precious/file", "state", "state/notes"}


def test_the_key_of_backups_stays_and_that_is_said(folder: Path) -> None:
    """Backups are elsewhere, and nobody reads them without it."""
    key = folder / "state" / "worker" / "backup.key"
    key.write_text("00" * 32)
    done = call(folder, "--data", "--state", "--yes")
    assert done.exit_code == 0, done.output
    assert f"but {key}: " in done.output.splitlines()[-1]
    assert files(folder) == {"abaca.conf", "state", "state/worker", "state/worker/backup.key"}


def test_without_a_terminal_and_yes_nothing_happens(folder: Path) -> None:
    before = files(folder)
    refused = call(folder, "--data", "--state")
    assert refused.exit_code == 1 and "give --yes" in refused.output
    assert files(folder) == before


@pytest.mark.parametrize(
    ("lock", "who"),
    [("serve.lock", "abaca serve"), ("api.lock", "abaca api"), ("worker/host.lock", "worker host")],
)
def test_while_something_runs_it_refuses(folder: Path, lock: str, who: str) -> None:
    before = files(folder)
    with open(folder / "state" / lock) as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        refused = call(folder, "--data", "--state", "--yes")
        conf = Settings((str(folder / "abaca.conf"),), (), str(folder / "state"), False).load()
        assert installed.running(conf) == [who]
    assert refused.exit_code == 1 and who in refused.output
    assert files(folder) == before
    assert installed.running(conf) == []


def test_where_nothing_was_installed_there_is_nothing(folder: Path) -> None:
    done = CliRunner().invoke(
        cli.main,
        ["uninstall", "--yes", "--state-dir", str(folder / "never"), *arguments(folder)[:2]],
    )
    assert (done.exit_code, done.output) == (0, "Nothing is left.\n")
    assert not (folder / "never").exists()


def test_places_are_those_of_the_configuration_and_the_default_one(folder: Path) -> None:
    (folder / "abaca.conf").write_text(
        "[DEFAULT]\nenabled_share_backends = one, fake\n[fake]\nshare_driver = fake\n"
        "[one]\nshare_driver = linux\nnamespace = mine\npool_path = /srv/pool\n"
    )
    conf = Settings((str(folder / "abaca.conf"),), (), str(folder / "state"), False).load()
    one, default = installed.places(conf)
    assert one == ("one", "mine", folder / "state" / "worker", Path("/srv/pool"))
    assert (default.back_end, default.pool_path) == ("linux", None)
    assert default.namespace.startswith("abaca")
