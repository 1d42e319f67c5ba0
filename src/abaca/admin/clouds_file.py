"""`clouds.yaml`: the entry by which the unmodified `openstack` command and openstacksdk reach this service."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from oslo_config import cfg

from abaca import config
from abaca.admin import state_dir
from abaca.api import microversions
from abaca.errors import Conflict

CLOUD = "abaca"
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def base_url(conf: cfg.ConfigOpts) -> str:
    """Where a client on this machine reaches the API, without a slash at the end."""
    return str(conf.api.public_endpoint).rstrip("/") if conf.api.public_endpoint else listening_url(conf)


def listening_url(conf: cfg.ConfigOpts) -> str:
    """The API's own socket, as this machine reaches it."""
    host = _EVERYWHERE.get(conf.api.listen, conf.api.listen)
    return f"{'https' if conf.api.ssl_certificate else 'http'}://{f'[{host}]' if ':' in host else host}:{conf.api.port}"


def path_of(conf: cfg.ConfigOpts) -> Path:
    """Where the file stands."""
    return config.state_path(conf, "clouds.yaml")


def entry(conf: cfg.ConfigOpts, username: str, password: str) -> dict[str, Any]:
    """What a cloud's entry says. Networks are served below a path of their own, which clients would not find by themselves."""
    url = base_url(conf)
    secure = {"cacert": conf.api.ssl_certificate} if conf.api.ssl_certificate and not conf.api.public_endpoint else {}
    return {
        "auth_type": "http_basic",
        "auth": {"endpoint": url, "username": username, "password": password},
        "network_endpoint_override": f"{url}/network",
        "shared_file_system_endpoint_override": f"{url}/v2",
        "shared_file_system_default_microversion": microversions.text(microversions.MAX_VERSION),  # openstacksdk asks for none by itself
        **secure,
    }


def as_text(clouds: dict[str, Any]) -> str:
    """The file's text for entries by name."""
    return msgspec.yaml.encode({"clouds": clouds}).decode()


def write(conf: cfg.ConfigOpts, username: str, password: str) -> None:
    """Make the file anew with one entry."""
    state_dir.replace(path_of(conf), as_text({CLOUD: entry(conf, username, password)}), 0o600, -1)


def follow(conf: cfg.ConfigOpts, new_passwords: dict[str, str] | None = None) -> None:
    """Bring our entry up to date with the address that is listened on now, and with new passwords by user name. Other entries stay.

    No file: nothing happens. Raises Conflict when the file is not what we wrote.
    """
    try:
        content = msgspec.yaml.decode(path_of(conf).read_bytes())
        auth = content["clouds"][CLOUD]["auth"]
        username, password = auth["username"], auth["password"]
    except FileNotFoundError:
        return
    except (msgspec.DecodeError, KeyError, TypeError) as error:
        raise Conflict(f"{path_of(conf)} has no entry '{CLOUD}' with user name and password; delete it or mend it.") from error
    wanted = entry(conf, username, (new_passwords or {}).get(username, password))
    if content["clouds"][CLOUD] != wanted:
        content["clouds"][CLOUD] = wanted
        state_dir.replace(path_of(conf), as_text(content["clouds"]), 0o600, -1)
