"""Where the demonstration plays: a service of its own, the `openstack` command, and clients in
network namespaces of their own.

What it starts, it ends; what it makes on the machine carries a name of its own and is taken away.
Tests play in it too.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from abaca import config
from abaca.admin import clouds_file
from abaca.admin.ports import free_port
from abaca.api import microversions
from abaca.api.page import serving
from abaca.drivers.linux import inventory, namespaces
from abaca.drivers.linux.bounds import NFS_PORT
from abaca.drivers.linux.clients import attach_client, detach_client
from abaca.worker.backends import network_namespace

COMMAND_SECONDS = 120
READY_SECONDS = 120.0
STOP_SECONDS = 60
PROBE_SECONDS = 120
CONNECT_SECONDS = 3.0
LOOK_SECONDS = 0.02
LOG_TAIL = 40


class StepFailed(Exception):
    """Something was not as it has to be; the text says what was asked and what was seen."""


class Scene:
    """One installation for one demonstration, below a temporary folder. `say` gets each line that a
    person may want to see; `program` is the `openstack` command.

    What an installation beside other services does otherwise, it overrides: `config_text`,
    `network_options`, `environment`, `headers`, `add_client`, `remove_clients`.
    """

    def __init__(self, say: Callable[[str], None], listen: str = "127.0.0.1") -> None:
        """`listen`: the address of the API."""
        self._say = say
        self.program = openstack_program() or "openstack"
        self.folder = Path(tempfile.mkdtemp(prefix="abaca-demo-"))
        # the API process, which is not root, has to reach the database in it
        self.folder.chmod(0o755)
        self.state_dir = self.folder / "state"
        self.log = self.folder / "service.log"
        self.config_file = self.folder / "abaca.conf"
        self.port = free_port(listen)
        self.conf = config.load(
            [os.devnull],
            {"state_dir": str(self.state_dir), "api.listen": listen, "api.port": self.port},
        )
        self.namespace = network_namespace(self.conf)
        self._service: subprocess.Popen[bytes] | None = None
        self._clients: set[str] = set()

    # --- the service ------------------------------------------------------------------------------

    def start(self) -> None:
        """Start `abaca serve` and wait until it answers and its back end is up."""
        # A file of its own, empty or not: what is in /etc is for the installation of this
        # machine, not for a demonstration.
        self.config_file.write_text(self.config_text())
        self.start_process("serve")
        self.until(
            lambda: "Back end" in self.log.read_text() or self._service_ended(),
            READY_SECONDS,
            "the service to be ready",
        )
        if self._service_ended():
            raise StepFailed("`abaca serve` ended at once")

    def start_process(self, what: str) -> None:
        """Start `abaca serve`, or a part of it that listens, too."""
        listening = ["--listen", self.conf.api.listen, "--port", str(self.port)]
        arguments = [what, "--state-dir", str(self.state_dir), *listening]
        self._say(f"$ abaca {' '.join(arguments)}")
        with open(self.log, "wb") as log:
            self._service = subprocess.Popen(
                self.own_command("cli", *arguments),
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )

    def own_command(self, module: str, *arguments: str) -> list[str]:
        """A command line of ours: `cli` is `abaca`, `manage` is `abaca-manage`."""
        own = [sys.executable, "-P", "-m", f"abaca.admin.{module}"]
        return [*own, *arguments, "--config-file", str(self.config_file)]

    def config_text(self) -> str:
        """The configuration file: nothing is in it by default."""
        return ""

    def stop(self) -> None:
        """End the service as an administrator would, and wait until it is gone."""
        if self._service is None:
            return
        self._service.send_signal(signal.SIGTERM)
        try:
            self._service.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired as error:
            self._service.kill()
            self._service.wait()
            raise StepFailed(f"the service did not end within {STOP_SECONDS} s") from error
        finally:
            self._service = None

    def log_tail(self) -> str:
        """The last lines of what the service said."""
        return (
            "\n".join(self.log.read_text(errors="replace").splitlines()[-LOG_TAIL:])
            if self.log.exists()
            else ""
        )

    def leftovers(self) -> dict[str, list[str]]:
        """What of this installation is on the machine, by kind."""
        return inventory.leftovers(self.namespace, self.state_dir / "worker")

    def remove(self) -> None:
        """Take everything away, whatever state it is in."""
        self.remove_clients()
        try:
            self.stop()
        finally:
            inventory.remove_installation(self.namespace, self.state_dir / "worker")
            shutil.rmtree(self.folder)

    # --- the openstack command --------------------------------------------------------------------

    def environment(self) -> dict[str, str]:
        """What a person would export."""
        return {
            "OS_CLIENT_CONFIG_FILE": str(clouds_file.path_of(self.conf)),
            "OS_CLOUD": clouds_file.CLOUD,
        }

    def network_options(self, network: str) -> list[str]:
        """Further options of `openstack network create` for that network."""
        return []

    def openstack(self, *arguments: str) -> str:
        """Run the `openstack` command and return what it printed. Raises StepFailed."""
        return self.run(["openstack", *arguments], [self.program, *arguments], self.environment())

    def run(self, shown: list[str], command: list[str], environment: dict[str, str]) -> str:
        """Run a command, shown so, and return what it printed. Raises StepFailed with all that it
        said when it fails."""
        line = " ".join(["$", *shown])
        began = time.monotonic()
        plain = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            env=plain | environment,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        if done.returncode != 0:
            raise StepFailed(
                f"{line}\nfailed with status {done.returncode}:\n{done.stdout}{done.stderr}"
            )
        self._say(f"{line}   ({time.monotonic() - began:.1f} s)")
        return done.stdout

    def openstack_json(self, *arguments: str) -> Any:
        """The same, for commands that can answer in JSON."""
        return json.loads(self.openstack(*arguments, "-f", "json"))

    def until_status(self, kind: str, resource_id: str, wanted: str) -> None:
        """Wait until a share or another resource has that status; the client's own `--wait` looks
        every five seconds only."""
        member = kind.replace("-", "_").removesuffix("s")

        def is_there() -> bool:
            status = self.get(f"/v2/{kind}/{resource_id}")[member]["status"]
            if "error" in status:
                raise StepFailed(f"{member} {resource_id} is in status {status}")
            return bool(status == wanted)

        self.until(is_there, READY_SECONDS, f"{member} {resource_id} to be {wanted}")

    @contextmanager
    def watched(self, share_network_id: str) -> Iterator[list[str]]:
        """The statuses that a share network goes through while the block runs, each as often as it
        changes; looked at every 20 ms."""
        seen: list[str] = []
        done = threading.Event()

        def watch() -> None:
            is_over = False
            while not is_over:
                is_over = done.is_set()  # before the look, so that the last one sees how it ended
                status = self.get(f"/v2/share-networks/{share_network_id}")["share_network"][
                    "status"
                ]
                if seen[-1:] != [status]:
                    seen.append(status)
                done.wait(LOOK_SECONDS)

        watcher = threading.Thread(target=watch, name="watcher")
        watcher.start()
        try:
            yield seen
        finally:
            done.set()
            watcher.join()

    @property
    def page_url(self) -> str:
        """Where a browser finds the web page."""
        return f"{clouds_file.listening_url(self.conf)}{serving.BASE}/"

    def page_login(self) -> str:
        """How one logs in there."""
        path = clouds_file.path_of(self.conf)
        return f"log in with the user and password in {path}"

    def page(self) -> str:
        """Its markup, as a browser on this machine is given it."""
        return self._answer(f"{serving.BASE}/", None).decode()

    def headers(self) -> dict[str, str]:
        """What a request says of who sends it."""
        cloud = msgspec.yaml.decode(clouds_file.path_of(self.conf).read_bytes())["clouds"][
            clouds_file.CLOUD
        ]
        credentials = base64.b64encode(
            f"{cloud['auth']['username']}:{cloud['auth']['password']}".encode()
        ).decode()
        return {"Authorization": f"Basic {credentials}"}

    def get(self, path: str) -> Any:
        """What the API answers at that path: quicker than a command, where something is waited
        for."""
        return json.loads(self._answer(path, None))

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """What it answers to a request for which there is no command; None for an empty answer."""
        answer = self._answer(path, json.dumps(body).encode())
        return json.loads(answer) if answer else None

    def _answer(self, path: str, body: bytes | None) -> bytes:
        headers = self.headers() | {
            "Content-Type": "application/json",
            "X-OpenStack-Manila-API-Version": microversions.text(microversions.MAX_VERSION),
        }
        request = urllib.request.Request(
            f"{clouds_file.listening_url(self.conf)}{path}", data=body, headers=headers
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            found: bytes = answer.read()
            return found

    # --- clients ----------------------------------------------------------------------------------

    def add_client(self, name: str, network: str, network_id: str, *addresses: str) -> str:
        """A machine of a tenant: a network namespace on the tenant's network of that name and id.
        Returns its name."""
        netns = f"{self.namespace}-{name}"
        self._clients.add(netns)
        attach_client(self.namespace, network_id, netns, addresses)
        return netns

    def remove_clients(self) -> None:
        """Take all of them away."""
        for netns in sorted(self._clients):
            detach_client(netns, self.namespace)
        self._clients.clear()

    def nfs(self, client: str, *arguments: str) -> dict[str, Any]:
        """What the NFS client in that namespace saw: `ok`, and `error` or what it was asked for."""
        done = subprocess.run(
            nfs_command(client, *arguments),
            capture_output=True,
            text=True,
            timeout=PROBE_SECONDS,
            check=False,
        )
        if not done.stdout:
            raise StepFailed(
                f"the NFS client said nothing (status {done.returncode}): {done.stderr[-2000:]}"
            )
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer

    def is_answered(self, client: str, address: str) -> bool:
        """Whether an NFS server takes connections at that address, from that namespace."""

        def attempt(_: object) -> bool:
            with contextlib.suppress(OSError):
                socket.create_connection((address, NFS_PORT), timeout=CONNECT_SECONDS).close()
                return True
            return False

        return namespaces.inside(client, attempt)

    @contextmanager
    def working_client(self, client: str, location: str) -> Iterator[dict[str, Any]]:
        """A client that writes, reads and compares without a pause while the block runs; the
        dictionary is filled at the end."""
        answer: dict[str, Any] = {}
        process = subprocess.Popen(
            nfs_command(client, "loop", location, "loop.txt"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            if "ready" not in process.stdout.readline():
                raise StepFailed(f"the client's loop did not start on {location}")
            yield answer
            out, _ = process.communicate(timeout=PROBE_SECONDS)
            answer.update(json.loads(out.splitlines()[-1]))
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()

    def until(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        """Wait for it; StepFailed when it takes longer."""
        deadline, pause = time.monotonic() + seconds, threading.Event()
        while not condition():
            if time.monotonic() > deadline:
                raise StepFailed(f"waited {seconds:g} s for {what}")
            pause.wait(LOOK_SECONDS)

    def _service_ended(self) -> bool:
        return self._service is not None and self._service.poll() is not None


def openstack_program() -> str | None:
    """The `openstack` command beside this Python, or on the search path."""
    beside = Path(sys.executable).with_name("openstack")
    return str(beside) if beside.exists() else shutil.which("openstack")


def nfs_command(client: str, *arguments: str) -> list[str]:
    """The command line of the NFS client in a namespace."""
    return [
        "nsenter",
        f"--net={namespaces.path_of(client)}",
        sys.executable,
        "-P",
        "-m",
        "abaca.admin.nfs_probe",
        *arguments,
    ]
