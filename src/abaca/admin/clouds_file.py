"""`clouds.yaml`: the entry by which the unmodified `openstack` command and openstacksdk reach this
service."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from oslo_config import cfg

from abaca import config
from abaca.admin import state_dir
from abaca.api import certificates, microversions
from abaca.errors import Conflict

CLOUD = "abaca"
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def base_url(conf: cfg.ConfigOpts) -> str:
    """Where a client on this machine reaches the API, without a slash at the end."""
    return (
        str(conf.api.public_endpoint).rstrip("/")
        if conf.api.public_endpoint
        else listening_url(conf)
    )


def listening_url(conf: cfg.ConfigOpts) -> str:
    """The API's own socket, as this machine reaches it."""
    host = _EVERYWHERE.get(conf.api.listen, conf.api.listen)
    scheme = "https" if certificates.served(conf) else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{conf.api.port}"


def path_of(conf: cfg.ConfigOpts) -> Path:
    """Where the file is."""
    return config.state_path(conf, "clouds.yaml")


def entry(conf: cfg.ConfigOpts, username: str, password: str) -> dict[str, Any]:
    """What a cloud's entry says for the address of `conf`. Networks are served below a path that
    clients would not find by themselves."""
    url = base_url(conf)
    served = certificates.served(conf)
    # behind another address there may be a proxy, with a certificate of its own
    is_ours = not conf.api.public_endpoint or urlsplit(url).port == conf.api.port
    secure = {"cacert": str(served.trusted)} if served and is_ours else {}
    return {
        "auth_type": "http_basic",
        "auth": {"endpoint": url, "username": username, "password": password},
        "network_endpoint_override": f"{url}/network",
        "shared_file_system_endpoint_override": f"{url}/v2",
        # openstacksdk asks for none by itself
        "shared_file_system_default_microversion": microversions.text(microversions.MAX_VERSION),
        **secure,
    }


def entry_as_served(conf: cfg.ConfigOpts, username: str, password: str) -> dict[str, Any]:
    """An entry for another user, with the address that the service was started with last: the file
    knows, `conf` may not."""
    clouds = _read(conf)
    if clouds is None:
        return entry(conf, username, password)
    served: dict[str, Any] = clouds[CLOUD]
    return served | {"auth": served["auth"] | {"username": username, "password": password}}


def as_text(clouds: dict[str, Any]) -> str:
    """The file's text for entries by name."""
    return msgspec.yaml.encode({"clouds": clouds}).decode()


def write(conf: cfg.ConfigOpts, clouds: dict[str, Any]) -> None:
    """Make the file anew, or replace it."""
    state_dir.replace(path_of(conf), as_text(clouds), 0o600, -1)


def follow_address(conf: cfg.ConfigOpts) -> None:
    """Bring our entry up to date with the address of `conf`. Other entries stay. No file: nothing
    happens."""
    clouds = _read(conf)
    if clouds is not None:
        auth = clouds[CLOUD]["auth"]
        wanted = clouds | {CLOUD: entry(conf, auth["username"], auth["password"])}
        if wanted != clouds:
            write(conf, wanted)


def follow_password(conf: cfg.ConfigOpts, username: str, password: str) -> None:
    """Bring our entry up to date with a user's new password, if it is that user's."""
    clouds = _read(conf)
    if clouds is not None and clouds[CLOUD]["auth"]["username"] == username:
        clouds[CLOUD]["auth"]["password"] = password
        write(conf, clouds)


def _read(conf: cfg.ConfigOpts) -> dict[str, Any] | None:
    """The file's entries, ours among them; None when there is no file. Raises Conflict when it is
    not what we wrote."""
    try:
        clouds: dict[str, Any] = msgspec.yaml.decode(path_of(conf).read_bytes())["clouds"]
        if {"username", "password"} <= clouds[CLOUD]["auth"].keys():
            return clouds
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
        pass
    raise Conflict(
        f"{path_of(conf)} has no entry '{CLOUD}' with user name and password; fix or delete it."
    )
