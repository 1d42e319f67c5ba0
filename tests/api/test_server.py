"""The server as a process: who it runs as, what it refuses, and that nothing of it is left
behind."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from oslo_config import cfg

import abaca
from abaca import config
from abaca.api.cleartext import refuse_cleartext
from tests.api_process import USER, Server, serving
from tests.stack import initialise, wait_for

pytestmark = [pytest.mark.slow("a process of the API each"), pytest.mark.sampled(4)]

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root has privileges to give up")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({}, None),
        ({"api.listen": "::1"}, None),
        ({"api.listen": "localhost"}, None),
        ({"api.auth_strategy": "noauth"}, None),
        ({"api.listen": "0.0.0.0"}, None),
        ({"api.listen": "0.0.0.0", "api.auth_strategy": "noauth"}, "accepts anybody"),
        ({"api.listen": "0.0.0.0", "api.allow_cleartext": True}, None),
        ({"api.listen": "0.0.0.0", "api.ssl_certificate": "c", "api.ssl_key": "k"}, None),
        ({"api.ssl_certificate": "c"}, "together or not at all"),
        (
            {"api.listen": "0.0.0.0", "api.auth_strategy": "noauth", "api.allow_cleartext": True},
            "accepts anybody",
        ),
    ],
)
def test_what_must_not_be_served_is_refused(
    options: dict[str, object], complaint: str | None
) -> None:
    conf = config.load([], options)
    if complaint is None:
        refuse_cleartext(conf)
        return
    with pytest.raises(cfg.Error, match=complaint):
        refuse_cleartext(conf)


def use(server: Server) -> None:
    """What a tenant and an administrator do, errors included; every answer must be right."""
    specs = {"driver_handles_share_servers": True}
    network = {"share_network": {"name": "n", "neutron_net_id": "a", "neutron_subnet_id": "b"}}
    for method, path, body, user, status in [
        ("GET", "/", None, "root", 300),
        ("POST", "/v2/types", {"share_type": {"name": "gold", "extra_specs": specs}}, "root", 200),
        ("POST", "/v2/types", {"share_type": {"name": "gold", "extra_specs": specs}}, "root", 409),
        ("POST", "/v2/types", {"share_type": {"name": "silver"}}, "alice", 403),
        ("POST", "/v2/share-networks", network, "alice", 200),
        ("GET", "/v2/share-networks/detail", None, "alice", 200),
        ("GET", "/v2/shares/detail?metadata=x", None, "alice", 400),
        ("GET", "/v2/shares/detail", None, "alice", 200),
        ("GET", "/v2/messages", None, "alice", 200),
        ("GET", "/v2/scheduler-stats/pools/detail?host=(", None, "root", 400),
        ("GET", "/v2/scheduler-stats/pools/detail", None, "root", 200),
        ("GET", "/v2/share-servers", None, "root", 200),
        ("POST", "/network/v2.0/networks", {"network": {"name": "n"}}, "alice", 201),
        ("GET", "/v2/types", None, "mallory", 401),
        ("GET", "/nope", None, "alice", 404),
    ]:
        for _ in range(1 if method == "POST" else 4):  # both worker processes answer
            answered, content = server.ask(method, path, body, user)
            assert answered == status, f"{method} {path}: {answered} {content}\n{server.said()}"
    network_id = server.ask("GET", "/v2/share-networks", user="alice")[1]["share_networks"][0]["id"]
    share = {
        "share": {
            "share_proto": "NFS",
            "size": 1,
            "share_type": "gold",
            "share_network_id": network_id,
        }
    }
    answered, content = server.ask("POST", "/v2/shares", share, "alice")
    assert answered == 200, f"{content}\n{server.said()}"
    assert content["share"]["status"] == "creating"


def test_workers_serve_and_end_with_their_parent() -> None:
    with serving() as server:
        server.start()
        use(server)
        main, *workers = server.pids()
        assert len(workers) == 2
        if os.geteuid() == 0:
            wanted = str(pwd.getpwnam(USER).pw_uid)
            for pid in (main, *workers):
                status = dict(
                    line.split(":\t", 1)
                    for line in Path(f"/proc/{pid}/status").read_text().splitlines()
                    if ":\t" in line
                )
                assert status["Uid"].split() == [wanted] * 4
                assert status["NoNewPrivs"] == "1"
                assert status["Groups"].split() == [str(pwd.getpwnam(USER).pw_gid)]
        os.kill(workers[0], signal.SIGKILL)
        wait_for(
            lambda: (
                len(server.pids()) == 3
                and workers[0] not in server.pids()
                and server.ask("GET", "/v2/types")[0] == 200
            ),
            20,
        )
        doomed = server.pids()[1:]
        assert server.process is not None
        server.process.kill()
        server.process.wait(10)
        wait_for(lambda: not any(_is_alive(pid) for pid in doomed), 10)
        assert server.ask("GET", "/healthcheck")[0] == 0


@ROOT_ONLY
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_code_that_only_root_can_read(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    """What requests need is imported even where the API's user may not go."""
    url = None
    if kind == "postgresql":
        url = request.getfixturevalue("postgresql_databases").create_from(initialise)
    with serving(url) as server, hidden_code(tmp_path) as (prefix, python, environment):
        server.start(*prefix, python=python, environment=environment)
        use(server)


@ROOT_ONLY
def test_code_that_the_api_may_not_read_at_all_is_named(tmp_path: Path) -> None:
    """As in a clone made with the umask 077."""
    source = tmp_path / "src/abaca"
    shutil.copytree(abaca.__path__[0], source, ignore=shutil.ignore_patterns("__pycache__"))
    for path in source.rglob("*.py"):
        path.chmod(0o600)
    with serving() as server:
        assert f"{USER} may not read the code in " in server.refused(
            environment={"PYTHONPATH": str(tmp_path / "src")}
        )


def test_a_policy_file_that_is_wrong_is_told_at_the_start() -> None:
    with serving() as server:
        (server.folder / "policy.yaml").write_text(
            '"share:craete": "rule:admin"\n"share:delete": "rule:admn"\n'
        )
        told = server.refused()
    assert (
        "there is no rule share:craete, and no other rule refers to it. Did you mean share:create?"
        in told
    )
    assert "share:delete refers to rule:admn, which does not exist. Did you mean admin?" in told


@ROOT_ONLY
@pytest.mark.parametrize("what", ["users", "key", "policy.yaml", "tls.key", "tls.pem"])
def test_a_file_that_the_api_may_not_read_is_named_at_the_start(what: str) -> None:
    with serving() as server:
        server.use_tls()
        (server.folder / "policy.yaml").write_text("")
        path = server.folder / what
        shutil.chown(path, "root", "root")
        path.chmod(0o600)
        assert f"{USER} may not read {path}." in server.refused()


@pytest.mark.parametrize(
    ("what", "mode"), [("users", 0o644), ("users", 0o620), ("key", 0o604), ("tls.key", 0o644)]
)
def test_a_secret_that_others_may_read_or_write_is_refused_at_the_start(
    what: str, mode: int
) -> None:
    with serving() as server:
        server.use_tls()
        (server.folder / what).chmod(mode)
        assert (
            f"{server.folder / what} may be read or written by others (mode {mode:04o})"
            in server.refused()
        )


@pytest.mark.parametrize("what", ["tls.key", "tls.pem"])
@pytest.mark.parametrize("content", ["nonsense", None])
def test_a_certificate_or_key_that_is_none_is_named_at_the_start(
    what: str, content: str | None
) -> None:
    """Not PEM, or not there."""
    with serving() as server:
        server.use_tls()
        path = server.folder / what
        path.unlink()
        if content:
            path.write_text(content)
            path.chmod(0o600)
        said = server.refused()
        assert f"ssl_key = {server.folder}/tls.key cannot be used" in said and str(path) in said


@ROOT_ONLY
def test_root_serves_when_that_is_said_also_below_a_closed_folder() -> None:
    with serving(**{"api.user": "root"}) as server:
        server.folder.chmod(0o700)
        server.start()
        use(server)
        assert "runs as root" in server.said()


@contextmanager
def hidden_code(tmp_path: Path) -> Iterator[tuple[tuple[str, ...], str, dict[str, str]]]:
    """Abaca and Python's packages below a folder that only root may enter, and nowhere else.

    What to put before a command, its Python, its environment.
    """
    venv, source = Path(sys.prefix), Path(abaca.__path__[0]).parent
    private = tmp_path / "private"
    for name in ("venv", "src"):
        (private / name).mkdir(parents=True)
    private.chmod(0o700)
    mounts = f"mount --bind {venv} {private}/venv && mount --bind {source} {private}/src"
    if (
        sys.prefix == sys.base_prefix
        or subprocess.run(
            ["unshare", "-m", "sh", "-c", mounts], check=False, capture_output=True
        ).returncode
    ):
        pytest.skip("a virtual environment and the right to mount are missing")
    hidden = f'{mounts} && mount -t tmpfs -o mode=700 none {source} && exec "$@"'
    environment = {"PYTHONPATH": f"{private}/src", "PYTHONDONTWRITEBYTECODE": "1"}
    yield ("unshare", "-m", "sh", "-c", hidden, "sh"), f"{private}/venv/bin/python", environment


def test_tls() -> None:
    with serving(**{"api.workers": 1}) as server:
        server.use_tls()
        server.start()
        assert server.ask("GET", "/v2/types")[0] == 200


def _is_alive(pid: int) -> bool:
    """Whether it runs; one that only waits to be buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_without_keystones_libraries_it_starts() -> None:
    """As the container image and the Debian package have it, without the extra `openstack`."""
    without = (
        "import sys; sys.modules.update(dict.fromkeys(('keystoneauth1', 'keystonemiddleware')));"
        "from abaca.api import server; server._import_all()"
    )
    done = subprocess.run(
        [sys.executable, "-c", without], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
