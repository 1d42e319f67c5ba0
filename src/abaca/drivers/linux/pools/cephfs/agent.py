"""Speaks to Ceph for a worker: a program of its own, for Debian's Python, as Ceph's bindings are
made for that one, and because whatever fails inside them must not end the worker.

Reads one question a line, JSON, from its standard input, and writes one answer a line; several
questions at once, each by its number. Ends with its standard input. Nothing of Abaca is imported
here.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cephfs  # type: ignore[import-not-found]
import rados  # type: ignore[import-not-found]

AT_ONCE = 8
ENDING_SECONDS = 5.0
MOST_BYTES = 1 << 16
REFUSALS = (rados.Error, cephfs.Error, OSError, ArithmeticError, LookupError, TypeError, ValueError)


class Agent:
    """`filesystem`: the name of the CephFS."""

    def __init__(self, config: str, user: str, keyring: str, filesystem: str, seconds: str) -> None:
        conf = {
            "log_file": "/dev/null",
            "admin_socket": "",
            "rados_mon_op_timeout": seconds,
            "rados_osd_op_timeout": seconds,
            "client_mount_timeout": seconds,
            # after a monitor was away, it is to be found before the MDS gives this session up
            "mon_client_hunt_interval_max_multiple": "1",
        }
        if keyring:
            conf["keyring"] = keyring
        self._cluster = rados.Rados(conffile=config, name=f"client.{user}", conf=conf)
        self._cluster.connect(timeout=int(seconds))
        self._filesystem = filesystem
        self._mounting = threading.Lock()
        self._mounted: Any = None

    def mgr(self, command: dict[str, Any]) -> Any:
        return self._answer(self._cluster.mgr_command(json.dumps(command), b""))

    def mon(self, command: dict[str, Any]) -> Any:
        return self._answer(self._cluster.mon_command(json.dumps(command), b""))

    def about(self) -> dict[str, str]:
        """What a client needs to find the cluster."""
        return {"mon_host": self._cluster.conf_get("mon_host"), "fsid": self._cluster.get_fsid()}

    def names(self, path: str) -> list[str]:
        """What is in a folder; nothing where there is none."""
        files = self._files()
        try:
            folder = files.opendir(path.encode())
        except cephfs.ObjectNotFound:
            return []
        try:
            found = []
            while entry := files.readdir(folder):
                found.append(os.fsdecode(entry.d_name))
        finally:
            files.closedir(folder)
        return sorted(name for name in found if name not in (".", ".."))

    def contents(self, group: str) -> dict[str, dict[str, Any]]:
        """The subvolumes of a group, by name: see `Contents` of the pool."""
        return {
            name: self._subvolume(f"{group}/{name}")
            for name in self.names(group)
            if not name.startswith(("_", "."))
        }

    def probe(self) -> None:
        """Has the MDS answer."""
        self._files().getxattr(b"/", b"ceph.dir.rbytes")

    def evict(self, user: str) -> None:
        """End the sessions of a user's clients, those included that have died and would be waited
        for until the MDS gives them up."""
        filters = [f"auth_name={user}"]
        command = json.dumps({"prefix": "session evict", "filters": filters})
        self._answer(self._files().mds_command("*", command, ""))

    def _subvolume(self, path: str) -> dict[str, Any]:
        files = self._files()
        state = self._state(path)
        data = [name for name in self.names(path) if not name.startswith(".")]
        snapshots = [name for name in self.names(f"{path}/.snap") if not name.startswith("_")]
        found: dict[str, Any] = {
            "state": state,
            "snapshots": snapshots,
            "path": None,
            "size": 0,
            "used": 0,
        }
        for name in data[:1]:
            folder = f"{path}/{name}".encode()
            try:
                found["used"] = int(files.getxattr(folder, b"ceph.dir.rbytes"))
                found["size"] = int(files.getxattr(folder, b"ceph.quota.max_bytes"))
            except (cephfs.ObjectNotFound, cephfs.NoData):
                pass
            found["path"] = folder.decode()
        return found

    def _state(self, path: str) -> str:
        """As the manager has written it: "complete" is a share of its own."""
        files = self._files()
        try:
            file = files.open(f"{path}/.meta".encode(), os.O_RDONLY)
        except cephfs.ObjectNotFound:
            return ""
        try:
            text = files.read(file, 0, MOST_BYTES).decode(errors="replace")
        finally:
            files.close(file)
        lines = [line.partition("=") for line in text.splitlines()]
        return next((value.strip() for name, _, value in lines if name.strip() == "state"), "")

    def inode(self, path: str) -> int:
        return int(self._files().stat(path.encode()).st_ino)

    def kept(self, path: str, name: str, value: str | None) -> str | None:
        """An attribute of a folder that clients do not reach: given once, by whoever is first."""
        files, attribute = self._files(), f"user.abaca.{name}"
        if value is not None:
            with contextlib.suppress(cephfs.ObjectExists):
                files.setxattr(path.encode(), attribute.encode(), value.encode(), os.XATTR_CREATE)
        try:
            return str(files.getxattr(path.encode(), attribute.encode()).decode())
        except cephfs.NoData:
            return None

    def _files(self) -> Any:
        with self._mounting:
            if self._mounted is None:
                mounted = cephfs.LibCephFS(rados_inst=self._cluster)
                mounted.mount(filesystem_name=self._filesystem.encode())
                self._mounted = mounted
            return self._mounted

    @staticmethod
    def _answer(told: tuple[int, bytes, str]) -> Any:
        code, out, said = told
        if code:
            raise rados.Error(said or f"error {code}", abs(code))
        text = out.decode()
        try:
            return json.loads(text) if text.strip() else None
        except ValueError:
            return text.strip()

    def end(self) -> None:
        if self._mounted is not None:
            self._mounted.shutdown()
        self._cluster.shutdown()


def main() -> None:
    config, user, keyring, filesystem, seconds = sys.argv[1:]
    told = threading.Lock()

    def tell(answer: dict[str, Any]) -> None:
        with told:
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()

    try:
        agent = Agent(config, user, keyring, filesystem, seconds)
    except REFUSALS as error:
        tell({"number": 0, "error": _number(error), "said": f"cannot reach Ceph: {error}"})
        os._exit(1)
    tell({"number": 0, "result": agent.about()})
    calls: dict[str, Callable[..., Any]] = {
        "mgr": agent.mgr,
        "mon": agent.mon,
        "names": agent.names,
        "contents": agent.contents,
        "inode": agent.inode,
        "evict": agent.evict,
        "kept": agent.kept,
        "probe": agent.probe,
    }

    def work(question: dict[str, Any]) -> None:
        answer = {"number": question["number"]}
        try:
            answer["result"] = calls[question["call"]](*question["arguments"])
        except REFUSALS as error:
            answer |= {"error": _number(error), "said": str(error)[:500]}
        tell(answer)

    with ThreadPoolExecutor(AT_ONCE) as threads:
        for line in sys.stdin:
            threads.submit(work, json.loads(line))
        # what hangs must not keep this process
        threading.Timer(ENDING_SECONDS, os._exit, (1,)).start()
        threads.shutdown(wait=False, cancel_futures=True)
        agent.end()
    os._exit(0)


def _number(error: BaseException) -> int:
    """Of the system's errors; 0: another one."""
    number = getattr(error, "errno", None)
    return abs(number) if isinstance(number, int) else 0


if __name__ == "__main__":
    main()
