"""The options that every command takes, and the configuration that comes of them."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from oslo_config import cfg

from abaca import config

SYSTEM_STATE_DIR = "/var/lib/abaca"


class Settings:
    """What was given on the command line. `arguments()` are the same for another process of ours."""

    def __init__(
        self, config_files: tuple[str, ...], state_dir: str | None, verbose: bool, listen: str | None = None, port: int | None = None
    ) -> None:
        self._files = config_files
        given = {"state_dir": state_dir and os.path.abspath(state_dir), "api.listen": listen, "api.port": port}
        self._overrides: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        self._verbose = verbose

    def load(self) -> cfg.ConfigOpts:
        """The configuration. Raises click.ClickException for what is wrong in a file."""
        overrides = {**self._overrides, **({"log_level": "DEBUG"} if self._verbose else {})}
        try:
            conf = config.load(self._files, overrides)
            if "state_dir" not in overrides:
                conf.set_override("state_dir", _usable_state_dir(conf.state_dir))
        except (cfg.Error, ValueError) as error:
            raise click.ClickException(f"configuration: {error}") from error
        return conf

    def arguments(self, conf: cfg.ConfigOpts) -> list[str]:
        """Command line options that make another process load the same as `conf`."""
        files = [part for file in self._files for part in ("--config-file", os.path.abspath(file))]
        place = ["--state-dir", conf.state_dir, "--listen", conf.api.listen, "--port", str(conf.api.port)]
        return [*files, *place, *(["--verbose"] if self._verbose else [])]


def common_options(command: Callable[..., None]) -> Callable[..., None]:
    """`--config-file`, `--state-dir`, `--verbose`: the command gets `Settings` as its first argument."""

    @functools.wraps(command)
    def with_settings(
        *, config_files: tuple[str, ...], state_dir: str | None, verbose: bool, listen: str | None = None, port: int | None = None, **others: Any
    ) -> None:
        command(Settings(config_files, state_dir, verbose, listen, port), **others)

    file = click.Path(exists=True, dir_okay=False, readable=True)
    files_help = "Configuration file; may be repeated, later ones win.  [default: /etc/abaca/abaca.conf if it is there]"
    state_help = "Where everything is kept.  [default: /var/lib/abaca; for users who may not write there, ~/.local/state/abaca]"
    for option in (
        click.option("--verbose", is_flag=True, help="Log details too."),
        click.option("--state-dir", type=click.Path(file_okay=False), help=state_help),
        click.option("--config-file", "config_files", multiple=True, type=file, help=files_help),
    ):
        with_settings = option(with_settings)
    return with_settings


def address_options(command: Callable[..., None]) -> Callable[..., None]:
    """`--listen`, `--port`; goes above `common_options`."""
    command = click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on.  [default: 8786]")(command)
    return click.option("--listen", help="Address to listen on.  [default: 127.0.0.1]")(command)


def _usable_state_dir(configured: str) -> str:
    """The configured one, or the user's own where the system's may not be written (a user who tries Abaca out)."""
    if configured != SYSTEM_STATE_DIR or os.geteuid() == 0 or os.access(configured, os.W_OK):
        return configured
    return str(Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "abaca")
