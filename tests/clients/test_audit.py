"""The audit file of a running service: written by several processes of a user without rights,
rotated, and never in the way."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.api_process import USER, Server, serving
from tests.raw_http import Connection, request
from tests.service import reachable_folder

pytestmark = pytest.mark.sampled_file(4)


@pytest.fixture
def folder() -> Iterator[Path]:
    with reachable_folder() as made:
        if os.geteuid() == 0:
            shutil.chown(made, USER)
        yield made


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    with serving(**{"api.audit_file": str(folder / "audit.jsonl"), "api.workers": 2}) as made:
        made.start()
        yield made


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def change(server: Server, number: int) -> int:
    status, _ = server.ask(
        "POST", "/v2/share-networks", {"share_network": {"name": f"n{number}"}}, user="alice"
    )
    return int(status)


def test_changes_of_all_processes_are_there_after_a_rotation(server: Server, folder: Path) -> None:
    path, moved = folder / "audit.jsonl", folder / "audit.jsonl.1"
    with ThreadPoolExecutor(8) as threads:
        answered = list(threads.map(lambda number: change(server, number), range(20)))
        path.rename(moved)
        answered += threads.map(lambda number: change(server, number), range(20))
    found = lines(moved) + lines(path)
    assert [line["status"] for line in found].count(200) == answered.count(200) == 10  # the quota
    assert [line["status"] for line in found].count(413) == answered.count(413) == 30
    assert {(line["user"], line["project"]) for line in found} == {("alice", "red")}
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert len({line["request_id"] for line in found}) == 40


def test_failed_logins_and_what_is_refused_at_the_door(server: Server, folder: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        list(
            threads.map(
                lambda number: server.ask("GET", "/v2/shares", user=f"mallory{number}\n{{"),
                range(15),
            )
        )
    found = [line for line in lines(folder / "audit.jsonl") if line["event"] == "failed_login"]
    assert 0 < len(found) <= 20  # ten of each process
    assert {line["address"] for line in found} == {"127.0.0.1"} and all(
        "mallory" in line["attempt"] for line in found
    )
    assert {(line["method"], line["path"], line["status"]) for line in found} == {
        ("GET", "/v2/shares", 401)
    }
    with Connection(server.port) as connection:
        connection.send(request("POST", "/v2/shares", "Content-Length: 99999999"))
        answer = connection.answer()
    assert answer is not None and answer.status == 413
    (refused,) = [line for line in lines(folder / "audit.jsonl") if line["status"] == 413]
    assert (
        refused["request_id"] == answer.headers["x-openstack-request-id"] and "user" not in refused
    )


def test_a_full_disk_stops_nobody(folder: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root mounts a small disk")
    disk = folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=0777", "tmpfs", disk], check=True)
    try:
        with serving(**{"api.audit_file": str(disk / "audit.jsonl"), "api.workers": 1}) as server:
            server.start()
            (disk / "ballast").write_bytes(bytes(60_000))
            # the quota
            assert [change(server, number) for number in range(40)] == [200] * 10 + [413] * 30
            assert server.said().count("cannot be written") == 1
            (disk / "ballast").unlink()
            assert change(server, 40) == 413
            metrics = server.ask("GET", "/metrics")[1].decode()
            (lost,) = re.findall(r'abaca_audit_lines_lost_total\{errno="ENOSPC"\} (\S+)', metrics)
            # one may be cut
            whole = [
                line
                for line in (disk / "audit.jsonl").read_text().splitlines()
                if line.endswith("}")
            ]
            assert len(whole) == 41 - float(lost) and float(lost) > 10
            assert json.loads(whole[-1])["status"] == 413
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def test_a_file_that_the_apis_user_may_not_write_is_told_at_the_start(folder: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root gives up rights")
    secret = folder / "secret"
    secret.mkdir(mode=0o700)
    shutil.chown(secret, "root")
    with serving(**{"api.audit_file": str(secret / "audit.jsonl")}) as server:
        assert f"{USER} cannot create [api] audit_file {secret}/audit.jsonl" in server.refused()
    assert not list(secret.iterdir())
