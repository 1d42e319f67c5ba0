"""`abaca serve` as a process: what it prints and makes, who it runs as, what it does when its
children die, and how it ends."""

from __future__ import annotations

import os
import pwd
import re
import signal
import stat
import subprocess
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.service import (
    FAKE_BACKEND,
    UNPRIVILEGED,
    Installation,
    arguments_of,
    descendants,
    installation,
    unprivileged_reason,
    users_of,
    wait_until,
)

pytestmark = [
    pytest.mark.slow("`abaca serve` is started again and again"),
    pytest.mark.timeout(300),
    pytest.mark.sampled_file(4),
]

TRACE = "was-imported"
CREATED = "Created the user admin."


@pytest.fixture(scope="module")
def service() -> Iterator[Installation]:
    """A service that runs through the tests of this module, in their order."""
    with installation() as made:
        made.start(cwd=hostile_folder(made.folder))
        yield made


def hostile_folder(below: Path) -> Path:
    """A folder with modules that the service imports; whoever imports one of them here leaves a
    trace."""
    folder = below / "hostile"
    folder.mkdir()
    trace = folder / TRACE
    for module in ("abaca", "multiprocessing", "json"):
        (folder / module).mkdir()
        code = f"open({str(trace)!r}, 'a').close()\nraise ImportError('from the folder')\n"
        (folder / module / "__init__.py").write_text(code)
    folder.chmod(0o777)
    return folder


def password_in_clouds_file(made: Installation) -> str:
    cloud = msgspec.yaml.decode((made.state_dir / "clouds.yaml").read_bytes())["clouds"]["abaca"]
    return str(cloud["auth"]["password"])


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_it_says_where_it_listens_and_how_to_log_in(service: Installation) -> None:
    said = service.said()
    assert f"Abaca listens on {service.url}" in said
    assert (
        f"export OS_CLIENT_CONFIG_FILE={service.state_dir}/clouds.yaml" in said
        and "export OS_CLOUD=abaca" in said
    )
    assert f"{CREATED} The password is in {service.state_dir}/clouds.yaml" in said
    assert "@fake is up" in said and service.answers()


def test_the_password_is_in_no_log(service: Installation) -> None:
    """What is printed goes to a journal below systemd, which others may read."""
    assert password_in_clouds_file(service) not in service.said()


def test_nothing_is_imported_from_the_folder_that_it_is_started_in(service: Installation) -> None:
    """Root may start it anywhere, also where others put files."""
    assert service.answers() and not (service.folder / "hostile" / TRACE).exists()


def test_files_are_for_those_who_need_them(service: Installation) -> None:
    folder = service.state_dir
    assert {path: mode(folder / path) for path in (".", "db", "db/abaca.sqlite", "worker", "users",
     "clouds.yaml")} == {
        ".": 0o755, "db": 0o700, "db/abaca.sqlite": 0o600, "worker": 0o700, "users": 0o640,
         "clouds.yaml": 0o600,
    }  # fmt: skip
    assert {(folder / path).lstat().st_uid for path in (".", "worker", "users")} == {os.geteuid()}
    api_user = pwd.getpwnam("abaca").pw_uid if os.geteuid() == 0 else os.geteuid()
    assert {path.lstat().st_uid for path in (folder / "db", *(folder / "db").iterdir())} == {
        api_user
    }
    assert password_in_clouds_file(service) not in (folder / "users").read_text()


@pytest.mark.skipif(
    os.geteuid() != 0, reason="needs root: what is looked at is who has given it up"
)
def test_only_the_worker_keeps_root(service: Installation) -> None:
    abaca = pwd.getpwnam("abaca").pw_uid
    api = service.children()["api"]
    assert {pid: users_of(pid) for pid in (api, *descendants(api))} == {
        pid: {abaca} for pid in (api, *descendants(api))
    }
    assert users_of(service.children()["worker"]) == {0}
    assert all(path.lstat().st_uid in (0, abaca) for path in (service.state_dir / "db").iterdir())


def test_metrics_count_the_requests_of_all_api_processes(service: Installation) -> None:
    """Connections fall to either of them by chance; here they are made anew each time."""
    for _ in range(40):
        assert service.answers()
    credentials = b64encode(f"admin:{password_in_clouds_file(service)}".encode()).decode()
    request = urllib.request.Request(
        f"{service.url}/metrics", headers={"Authorization": f"Basic {credentials}"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        text = answer.read().decode()
    counted = re.search(
        r'abaca_http_request_seconds_count\{method="GET",route="/healthcheck",status="200"\} (\S+)',
        text,
    )
    assert counted and float(counted[1]) >= 40
    assert 'abaca_back_end_up{host="' in text


def test_another_one_on_the_same_state_directory_is_refused(service: Installation) -> None:
    assert (
        f"Another `abaca serve` runs on the state directory {service.state_dir}"
        in service.refused()
    )
    assert service.answers()


def test_a_port_in_use_is_named(
    service: Installation, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with installation() as other:
        other.port = service.port
        assert f"Port {service.port} of 127.0.0.1 is in use" in other.refused()
        assert not (other.state_dir / "users").exists()


def test_nobody_is_accepted_unproven_beyond_this_machine(service: Installation) -> None:
    with installation() as other:
        other.configure(f"{FAKE_BACKEND}[api]\nauth_strategy = noauth\n")
        assert "accepts anybody" in other.refused("--listen", "0.0.0.0")


@pytest.mark.parametrize("name", ["api", "worker"])
def test_a_child_that_is_killed_is_started_again(service: Installation, name: str) -> None:
    killed = service.children()[name]
    below = descendants(killed)
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: service.children().get(name, killed) != killed, f"another {name}")
    wait_until(service.answers, "the API to answer")
    assert f"{name}: killed by SIGKILL; starting it again in 1 s" in service.said()
    assert {pid for pid in below if arguments_of(pid)} == set()


def test_it_stops_with_everything_it_started_and_the_next_start_knows_the_password(
    service: Installation,
) -> None:
    assert service.process is not None
    below = descendants(service.process.pid)
    assert len(below) >= 3
    assert service.stop() == 0
    assert {pid for pid in below if arguments_of(pid)} == set()
    assert "is killed" not in service.said()

    password = password_in_clouds_file(service)
    assert CREATED not in service.start()
    assert password_in_clouds_file(service) == password
    done = subprocess.run(
        service.command("user", "list"), capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["admin", "project", "admin", "roles", "admin"]


def test_its_children_end_with_it_when_it_is_killed(service: Installation) -> None:
    assert service.process is not None
    below = descendants(service.process.pid)
    assert service.stop(signal.SIGKILL) == -signal.SIGKILL
    wait_until(lambda: not any(arguments_of(pid) for pid in below), "the children to end", 60)


def test_a_database_that_others_could_have_put_there_is_not_opened() -> None:
    with installation() as made:
        (made.state_dir / "db").mkdir(parents=True)
        target = made.folder / "target"
        (made.state_dir / "db" / "abaca.sqlite").symlink_to(target)
        assert "must be a regular file without hard links" in made.refused()
        assert not target.exists()


def test_without_root_it_serves_with_the_fake_back_end_and_says_what_is_missing() -> None:
    user = UNPRIVILEGED if os.geteuid() == 0 else None
    reason = unprivileged_reason() if user else None
    if reason:
        pytest.skip(reason)
    with installation(user, config_text=None) as made:
        said = made.start()
        assert (
            "@fake is up" in said
            and "WARNING: the fake back end is used" in said
            and "- root: the worker must run as root" in said
        )
        assert made.answers()
        owner = pwd.getpwnam(user).pw_uid if user else os.geteuid()
        assert {path.lstat().st_uid for path in made.state_dir.rglob("*")} == {owner}
        assert mode(made.state_dir / "clouds.yaml") == 0o600
        assert made.stop() == 0
