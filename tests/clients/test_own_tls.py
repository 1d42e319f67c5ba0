"""TLS without a certificate of the administrator's: the real `openstack` command trusts Abaca's own
authority, over IPv4 and IPv6, and nothing is answered in clear text."""

from __future__ import annotations

import http.client
import socket
import ssl
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Event

import msgspec
import pytest
from cryptography import x509

from abaca.admin import own_tls
from tests.clients.command import Client
from tests.service import FAKE_BACKEND, Installation, descendants, installation, wait_until

pytestmark = [
    pytest.mark.sampled_file(8),
    pytest.mark.slow("a running service"),
    pytest.mark.timeout(400),
]

CONFIG = f"{FAKE_BACKEND}[api]\nlisten = ::\ncertificate_names = shares.example.org\n"
HOSTS = ["127.0.0.1", "[::1]"]


@pytest.fixture(scope="module")
def service() -> Iterator[Installation]:
    with installation(config_text=CONFIG) as made:
        made.configure(f"{CONFIG}port = {made.port}\n")
        made.start()
        yield made


def run(service: Installation, *arguments: str) -> str:
    done = subprocess.run(
        service.command(*arguments), capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def trusting(service: Installation) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(service.state_dir / "ca.pem"))


def presented(service: Installation, host: str = "127.0.0.1", name: str = "") -> x509.Certificate:
    """What the API shows to a client that trusts the authority and asks for that name."""
    with (
        socket.create_connection((host, service.port), 20) as plain,
        trusting(service).wrap_socket(plain, server_hostname=name or host) as sock,
    ):
        shown = sock.getpeercert(binary_form=True)
    assert shown is not None
    return x509.load_der_x509_certificate(shown)


def client(service: Installation, folder: Path, host: str, **more: str) -> Client:
    """admin's, with an entry that says nothing of whom to trust."""
    written = msgspec.yaml.decode((service.state_dir / "clouds.yaml").read_bytes())
    own = written["clouds"]["abaca"]
    url = f"https://{host}:{service.port}"
    entry = own | {
        "auth": own["auth"] | {"endpoint": url},
        "network_endpoint_override": f"{url}/network",
        "shared_file_system_endpoint_override": f"{url}/v2",
    }
    del entry["cacert"]
    (folder / "clouds.yaml").write_bytes(msgspec.yaml.encode({"clouds": {"other": entry | more}}))
    return Client(folder / "clouds.yaml", "other")


@pytest.mark.parametrize("host", HOSTS)
def test_openstack_works_with_the_authority_and_refuses_without(
    service: Installation, tmp_path: Path, host: str
) -> None:
    trusted = tmp_path / "abaca-ca.pem"
    trusted.write_text(run(service, "tls", "show", "--pem"))
    openstack = client(service, tmp_path, host)
    done = openstack.tried("share", "service", "list", "--os-cacert", str(trusted), "-f", "json")
    assert done.returncode == 0, done.stderr
    assert msgspec.json.decode(done.stdout)[0]["Host"].endswith("@fake")
    done = openstack.tried("network", "list", "--os-cacert", str(trusted))
    assert done.returncode == 0, done.stderr
    done = openstack.tried("share", "service", "list")
    assert done.returncode != 0
    assert "certificate verify failed" in (done.stdout + done.stderr).lower()


def test_the_entry_that_was_written_for_the_administrator_works_as_it_is(
    service: Installation,
) -> None:
    openstack = Client(service.state_dir / "clouds.yaml", "abaca")
    assert openstack.ask("share", "service", "list")


def test_the_environment_variable_is_enough(service: Installation, tmp_path: Path) -> None:
    openstack = client(service, tmp_path, "127.0.0.1")
    openstack._environment["OS_CACERT"] = str(service.state_dir / "ca.pem")
    assert openstack.ask("share", "service", "list")


@pytest.mark.parametrize("name", ["shares.example.org", "localhost"])
def test_it_is_good_for_configured_names_and_no_others(service: Installation, name: str) -> None:
    assert name in own_tls.names_in(presented(service, name=name))
    with pytest.raises(ssl.SSLCertVerificationError):
        presented(service, name="other.example.org")


@pytest.mark.parametrize("host", HOSTS)
def test_nothing_is_answered_in_clear_text(service: Installation, host: str) -> None:
    with socket.create_connection((host.strip("[]"), service.port), 20) as sock:
        sock.sendall(b"GET /healthcheck HTTP/1.1\r\nHost: x\r\n\r\n")
        said = b""
        try:
            while more := sock.recv(4096):
                said += more
        except ConnectionResetError:
            pass
    assert b"HTTP" not in said


def test_a_new_certificate_is_taken_while_clients_are_answered(service: Installation) -> None:
    """A connection that is being made just then may be closed before it brought a request; whoever
    connects again is answered."""
    ended, failed, answered = Event(), [], []

    def ask(tries: int = 2) -> None:
        connection = http.client.HTTPSConnection(
            "127.0.0.1", service.port, timeout=60, context=trusting(service)
        )
        with closing(connection):
            try:
                connection.request("GET", "/healthcheck")
                answered.append(connection.getresponse().status)
            except (OSError, http.client.HTTPException) as error:
                if tries == 1:
                    failed.append(repr(error))
                else:
                    ask(tries - 1)

    def go_on() -> None:
        while not ended.is_set():
            ask()
            ended.wait(0.02)

    before, children = presented(service), service.children()
    old = {*descendants(children["api"])}
    with ThreadPoolExecutor(2) as threads:
        asking = [threads.submit(go_on) for _ in range(2)]
        try:
            wait_until(lambda: len(answered) > 5, "answers")
            run(service, "tls", "renew")
            wait_until(
                lambda: not old & {*descendants(children["api"])}, "the old processes to be gone"
            )
        finally:
            ended.set()
    for one in asking:
        one.result()
    assert failed == [] and {*answered} == {200}
    assert not service.has_ended() and service.children() == children
    assert presented(service) != before
    assert own_tls.fingerprint(presented(service)) in run(service, "tls", "show")


def test_status_and_doctor_tell_of_it(service: Installation) -> None:
    until = f"{presented(service).not_valid_after_utc:%Y-%m-%d}"
    assert f"https://[::1]:{service.port} answers; certificate until {until}" in run(
        service, "status"
    )
    done = subprocess.run(
        [*service.command("status"), "--json"], capture_output=True, text=True, check=False
    )
    assert msgspec.json.decode(done.stdout)["api"]["certificate_until"] == until
    said = subprocess.run(
        [*service.command("doctor"), "--port", str(service.port)],
        capture_output=True, text=True, check=False,
    ).stdout  # fmt: skip
    assert f"certificate: until {until}, for shares.example.org" in said


def test_a_backup_brings_the_authority_back_and_nothing_of_it_outlives_the_state(
    tmp_path: Path,
) -> None:
    with installation(config_text=CONFIG) as made:
        run(made, "init")
        before = (made.state_dir / "ca.pem").read_text()
        archive = made.folder / "backup.tar"
        run(made, "backup", str(archive))
        run(made, "uninstall", "--state", "--data", "--yes")
        assert not made.state_dir.exists()
        run(made, "restore", str(archive))
        run(made, "init")
        assert (made.state_dir / "ca.pem").read_text() == before
        assert (made.state_dir / "ca.key").stat().st_mode & 0o077 == 0
