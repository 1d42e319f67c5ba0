"""`abaca doctor`: each thing that is missing is named, with what to do about it, and decides the
exit status."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from oslo_config import cfg

from abaca import config
from abaca.admin import doctor, state_dir
from abaca.admin.ports import free_port
from abaca.admin.settings import Settings
from abaca.db import migrations
from abaca.db.session import create_engine
from abaca.drivers.linux.requirements import PROGRAMS
from tests.service import reachable_folder
from tests.stack import write_key


@pytest.fixture
def conf() -> Iterator[cfg.ConfigOpts]:
    with reachable_folder() as folder:
        yield config.load(
            [os.devnull], {"state_dir": str(folder / "state"), "api.port": free_port()}
        )


def test_every_program_is_looked_at_with_its_package() -> None:
    lacking = [
        "program ganesha.nfsd (Debian package nfs-ganesha)",
        "NFS-Ganesha's VFS library (Debian package nfs-ganesha-vfs)",
    ]
    findings = {finding.what: finding.lack for finding in doctor.linux_findings(lacking)}
    assert PROGRAMS.keys() < findings.keys()
    assert findings["ganesha.nfsd"] == "install Debian package nfs-ganesha"
    assert findings["NFS-Ganesha's VFS library"] == "install Debian package nfs-ganesha-vfs"
    assert findings["btrfs"] is None


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: the kernel is looked at as root only")
def test_what_the_kernel_lacks_is_named() -> None:
    findings = {
        finding.what: finding.lack
        for finding in doctor.linux_findings(
            ["kernel: btrfs file systems", "kernel: bridges: not supported"]
        )
    }
    assert findings["btrfs file systems"] == "this kernel does not have it"
    assert findings["bridges"] == "not supported"


def test_before_the_first_start_nothing_is_made(conf: cfg.ConfigOpts) -> None:
    findings = [
        *doctor.state_findings(conf),
        *doctor.database_findings(conf),
        *doctor.port_findings(conf),
    ]
    assert [finding for finding in findings if finding.lack] == []
    assert not Path(conf.state_dir).exists()


def test_a_database_of_an_older_release_is_named(conf: cfg.ConfigOpts) -> None:
    state_dir.prepare(conf)
    assert [finding.lack for finding in doctor.database_findings(conf)] == [None, None, None]
    engine = create_engine(config.database_url(conf))
    with engine.begin() as conn:
        conn.execute(sa.text("UPDATE alembic_version SET version_num = '0001'"))
    engine.dispose()
    (lack,) = (finding.lack for finding in doctor.database_findings(conf) if finding.lack)
    assert lack == f"at 0001, not at {migrations.head()}: run `abaca-manage db sync`"


def test_a_database_that_does_not_answer_is_named(conf: cfg.ConfigOpts) -> None:
    conf.set_override(
        "connection",
        f"postgresql+psycopg://abaca:geheim@127.0.0.1:{conf.api.port}/abaca",
        group="database",
    )
    (finding,) = doctor.database_findings(conf)
    assert finding.lack and "refused" in finding.lack and "geheim" not in str(finding)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_what_the_apis_user_may_not_read_is_named_as_the_start_would(tmp_path: Path) -> None:
    with reachable_folder() as folder:
        conf = config.load([os.devnull], {"state_dir": str(folder)})
        assert [finding.lack for finding in doctor.api_findings(conf)] == [None]
        write_key(folder / "key")
        assert [finding.lack for finding in doctor.api_findings(conf)] == [
            f"abaca may not read {folder}/key."
        ]
        conf.set_override("key_file", str(tmp_path / "key"))
        write_key(tmp_path / "key")
        tmp_path.chmod(0o700)
        (lack,) = [finding.lack or "" for finding in doctor.api_findings(conf)]
        assert lack.startswith(f"abaca may not read {tmp_path}/key, because ") and lack.endswith(
            "may not be entered."
        )
        conf.set_override("user", "no-such-user", group="api")
        assert "useradd" in next(doctor.api_findings(conf)).lack  # type: ignore[operator]


def test_a_secret_that_others_may_read_is_named(conf: cfg.ConfigOpts) -> None:
    path = config.users_file(conf)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    path.chmod(0o644)
    conf.set_override("user", "root", group="api")
    assert any("chmod 640" in (finding.lack or "") for finding in doctor.api_findings(conf))


def test_a_port_in_use_by_others_is_named(conf: cfg.ConfigOpts) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", conf.api.port))
        (finding,) = doctor.port_findings(conf)
    assert finding.lack and "in use" in finding.lack


def test_the_exit_status_tells_whether_something_is_missing(
    conf: cfg.ConfigOpts, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", conf.api.port))
        assert (
            doctor.run(Settings((os.devnull,), (), conf.state_dir, False, port=conf.api.port)) == 1
        )
    output = capsys.readouterr().out
    assert "missing  port" in output and "are missing." in output
