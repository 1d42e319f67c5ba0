"""The options that every command takes, and the configuration that comes of them, or why it is
refused."""

from __future__ import annotations

import functools
import glob
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Any

import click
from oslo_config import cfg

from abaca import config
from abaca.admin import logs
from abaca.admin.configuration.given import in_files

SYSTEM_STATE_DIR = "/var/lib/abaca"


class Refused(click.ClickException):
    """The configuration is refused, with all reasons at once. The exit status is that of sysexits
    for it, which systemd can be configured to heed."""

    exit_code = 78

    def __init__(self, errors: Sequence[str]) -> None:
        lines = [logs.escaped(line) for error in errors for line in error.split("\n")]
        super().__init__("\n  ".join(["the configuration is refused:", *lines]))
        self.errors = errors


class Depth(Enum):
    """How much of the configuration a command looks at before it begins."""

    SERVICE = "all of it, with drivers and network plug-ins, which must be there"
    API = (
        "the same, but plug-ins that are not on this machine are only told of, and none stays "
        "loaded"
    )
    DATABASE = "all but the options of plug-ins, which are not loaded"


class Settings:
    """What was given on the command line. `arguments()` are the same for another process of
    ours."""

    def __init__(
        self,
        config_files: tuple[str, ...],
        config_dirs: tuple[str, ...],
        state_dir: str | None,
        verbose: bool,
        listen: str | None = None,
        port: int | None = None,
    ) -> None:
        self._files = [
            *config_files,
            *(
                file
                for folder in config_dirs
                for file in sorted(glob.glob(os.path.join(folder, "*.conf")))
            ),
        ]
        given = {
            "state_dir": state_dir and os.path.abspath(state_dir),
            "api.listen": listen,
            "api.port": port,
        }
        self._overrides: dict[str, Any] = {
            name: value for name, value in given.items() if value is not None
        }
        self._verbose = verbose

    def load(self, depth: Depth = Depth.DATABASE, *, is_quiet: bool = False) -> cfg.ConfigOpts:
        """The configuration, when nothing is wrong with it; what is odd is printed, unless quiet.
        Raises Refused, with everything that is wrong."""
        from abaca.admin.configuration import check

        conf = self.read()
        is_service = depth is Depth.SERVICE
        found = (
            check.settings_in_own_process(conf)
            if depth is Depth.API
            else check.settings(conf, with_plugins=is_service, needs_plugins=is_service)
        )
        for warning in () if is_quiet else found.warnings:
            click.echo(logs.escaped(f"WARNING: {warning}"), err=True)
        if found.errors:
            raise Refused(found.errors)
        return conf

    def read(self) -> cfg.ConfigOpts:
        """The configuration as it is. Raises Refused for files that cannot be read, and for values
        of the command line that are none."""
        unreadable = in_files(self._files or config.default_files())[1]
        if unreadable:
            raise Refused(unreadable)
        overrides = {**self._overrides, **({"log_level": "DEBUG"} if self._verbose else {})}
        try:
            conf = config.load(self._files, overrides)
        except ValueError as error:
            raise Refused([f"command line: {error}."]) from error
        except cfg.Error as error:
            raise Refused([str(error)]) from error
        if "state_dir" not in overrides:
            with suppress(cfg.Error):  # an invalid value is reported with all others
                conf.set_override("state_dir", _usable_state_dir(conf.state_dir))
        return conf

    def arguments(self, conf: cfg.ConfigOpts) -> list[str]:
        """Command line options that make another process load the same as `conf`."""
        files = [
            part for file in conf.config_file for part in ("--config-file", os.path.abspath(file))
        ]
        place = [
            "--state-dir",
            conf.state_dir,
            "--listen",
            conf.api.listen,
            "--port",
            str(conf.api.port),
        ]
        return [*files, *place, *(["--verbose"] if self._verbose else [])]


def common_options(command: Callable[..., None]) -> Callable[..., None]:
    """`--config-file`, `--config-dir`, `--state-dir`, `--verbose`: the command gets `Settings` as
    its first argument."""

    @functools.wraps(command)
    def with_settings(
        *,
        config_files: tuple[str, ...],
        config_dirs: tuple[str, ...],
        state_dir: str | None,
        verbose: bool,
        listen: str | None = None,
        port: int | None = None,
        **others: Any,
    ) -> None:
        command(Settings(config_files, config_dirs, state_dir, verbose, listen, port), **others)

    file = click.Path(exists=True, dir_okay=False, readable=True)
    folder = click.Path(exists=True, file_okay=False, readable=True)
    files_help = (
        "Configuration file; may be repeated, later ones win.  [default: "
        "/etc/abaca/abaca.conf and those of /etc/abaca/abaca.conf.d]"
    )
    dirs_help = (
        "Folder whose files *.conf are read in the order of their names, after the "
        "others; may be repeated."
    )
    state_help = (
        "State directory.  [default: /var/lib/abaca; for users who may not "
        "write there, ~/.local/state/abaca]"
    )
    for option in (
        click.option("--verbose", is_flag=True, help="Log details, too."),
        click.option("--state-dir", type=click.Path(file_okay=False), help=state_help),
        click.option("--config-dir", "config_dirs", multiple=True, type=folder, help=dirs_help),
        click.option("--config-file", "config_files", multiple=True, type=file, help=files_help),
    ):
        with_settings = option(with_settings)
    return with_settings


def address_options(command: Callable[..., None]) -> Callable[..., None]:
    """`--listen`, `--port`; goes above `common_options`."""
    command = click.option(
        "--port", type=click.IntRange(1, 65535), help="Port to listen on.  [default: 8786]"
    )(command)
    return click.option("--listen", help="Address to listen on.  [default: 127.0.0.1]")(command)


def _usable_state_dir(configured: str) -> str:
    """The configured one, or the user's own where the system's may not be written (a user who tries
    Abaca out)."""
    if configured != SYSTEM_STATE_DIR or os.geteuid() == 0 or os.access(configured, os.W_OK):
        return configured
    return str(Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "abaca")
