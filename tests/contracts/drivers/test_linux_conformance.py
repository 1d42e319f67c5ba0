"""The Linux driver under the conformance suite: real namespaces, real file systems, real NFS
servers. Skipped where they cannot be had."""

from __future__ import annotations

import importlib
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from abaca.drivers.conformance import DriverConformance
from abaca.drivers.interface import ShareDriver
from abaca.values import ExportLocation, NetworkInfo, SecurityService, Share, ShareServer

pytestmark = [pytest.mark.root, pytest.mark.sampled(4)]


@pytest.fixture(scope="module")
def linux_driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShareDriver]:
    yield from _made(tmp_path_factory)


@pytest.fixture(scope="module")
def driver_with_images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShareDriver]:
    yield from _made(tmp_path_factory, image_per_share_server="true")


@pytest.fixture(scope="module")
def driver_without_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShareDriver]:
    yield from _made(
        tmp_path_factory,
        driver_handles_share_servers="false",
        export_addresses="10.128.0.5/24, 10.128.0.6/24",
    )


def _made(tmp_path_factory: pytest.TempPathFactory, **options: str) -> Iterator[ShareDriver]:
    backend = _backend()
    if reason := backend.unavailable_reason():
        pytest.skip(reason)
    driver = backend.make_linux_driver(
        tmp_path_factory.mktemp("linux"),
        backup_folder=str(tmp_path_factory.mktemp("backups")),
        **options,
    )
    yield driver
    backend.cleanup(driver)


class TestLinux(DriverConformance):
    @pytest.fixture
    def driver(self, linux_driver: ShareDriver) -> ShareDriver:
        return linux_driver

    def fill_share(self, driver: ShareDriver, share: Share, server: ShareServer, gib: int) -> None:
        _hook("fill_share")(driver, share, server, gib)

    def empty_share(self, driver: ShareDriver, share: Share, server: ShareServer) -> None:
        _hook("empty_share")(driver, share, server)

    def held_gib(self, driver: ShareDriver, share: Share, server: ShareServer) -> int:
        return int(_hook("held_gib")(driver, share, server))

    def lose_everything(self, driver: ShareDriver) -> ShareDriver:
        lost: ShareDriver = _hook("lose_everything")(driver)
        return lost

    def stop_serving(self, driver: ShareDriver, server: ShareServer) -> None:
        _hook("stop_serving")(driver, server)

    def can_read(
        self, driver: ShareDriver, location: ExportLocation, client: str, entry: NetworkInfo
    ) -> bool:
        return bool(_hook("can_read")(driver, location, client, entry))

    @contextmanager
    def nfs_client(
        self, driver: ShareDriver, location: ExportLocation, client: str, entry: NetworkInfo
    ) -> Iterator[socket.socket]:
        with _hook("nfs_client")(driver, location, client, entry) as link:
            yield link

    @contextmanager
    def directory(self, driver: ShareDriver, entry: NetworkInfo) -> Iterator[list[SecurityService]]:
        with _hook("directory")(driver, entry) as services:
            yield services


@pytest.mark.sampled(8)
class TestLinuxWithImages(TestLinux):
    """With a file system of its own for each share server."""

    @pytest.fixture
    def driver(self, driver_with_images: ShareDriver) -> ShareDriver:
        return driver_with_images


@pytest.mark.sampled(8)
class TestLinuxWithoutServers(TestLinux):
    """One file server for all; only what is about shares is asked of it."""

    @pytest.fixture
    def driver(self, driver_without_servers: ShareDriver) -> ShareDriver:
        return driver_without_servers

    def reads(self, driver: ShareDriver, location: ExportLocation, client: str) -> bool:
        (entry, *_) = _hook("own_server")(driver).network_info
        return bool(_hook("can_read")(driver, location, client, entry))

    def stop_own_server(self, driver: ShareDriver) -> None:
        _hook("stop_serving")(driver, _hook("own_server")(driver))


def _backend() -> Any:
    """The module that makes a Linux driver for tests."""
    try:
        return importlib.import_module("tests.contracts.drivers.linux_backend")
    except ImportError as error:
        pytest.skip(f"the Linux back end cannot be imported: {error}")


def _hook(name: str) -> Any:
    """What only the makers of the back end can do; optional."""
    return getattr(_backend(), name, None) or pytest.skip(f"linux_backend has no {name}")
