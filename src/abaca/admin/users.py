"""The users of http_basic: writing the users file, and `abaca user add | list | remove | passwd`.

The API process reads the file again when it changes; nothing has to be restarted.
"""

from __future__ import annotations

import re
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import bcrypt
import click
from oslo_config import cfg

from abaca import config
from abaca.admin import access_files, clouds_file, logs, tokens
from abaca.admin.settings import Refused, Settings, common_options
from abaca.api.users_file import User, parse
from abaca.errors import AbacaError, Conflict, Invalid, Missing

ADMIN = "admin"
ROLES = ("admin", "member", "reader")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_LONGEST_PASSWORD = 72  # bytes; bcrypt looks at no more
_HEAD = (
    "# Users of Abaca: name:bcrypt-hash:project:role[,role]. Written by `abaca user`; changes take "
    "effect at once.\n"
)


def make_first_admin(conf: cfg.ConfigOpts) -> str | None:
    """On the first start: the user `admin` and a `clouds.yaml` for it. Returns the password; None
    when there are users already."""
    if config.users_file(conf).exists():
        return None
    password = add(conf, ADMIN, ADMIN, [ADMIN])
    clouds_file.write(conf, {clouds_file.CLOUD: clouds_file.entry(conf, ADMIN, password)})
    return password


def add(
    conf: cfg.ConfigOpts, name: str, project: str, roles: list[str], password: str | None = None
) -> str:
    """Add a user; returns the password, a random one if none is given. Application tokens of a
    former user of that name are removed. Raises Invalid, or Conflict when there is one."""
    for what, text in (("user name", name), ("project", project)):
        if not _NAME.fullmatch(text):
            raise Invalid(
                f"'{text}' cannot be a {what}: use at most 64 letters, digits and . _ @ -"
            )
    password = password or secrets.token_urlsafe(18)
    with _changed(conf) as users:
        if name in users:
            raise Conflict(f"User '{name}' already exists.")
        tokens.revoke_all(conf, name)  # the former user's line may have been deleted by hand
        users[name] = User(name, _hash(password), project, tuple(roles))
    return password


def set_password(conf: cfg.ConfigOpts, name: str, password: str | None = None) -> str:
    """Give a user a new password, a random one if none is given; returns it. `clouds.yaml` follows.
    Raises Missing, Invalid."""
    password = password or secrets.token_urlsafe(18)
    with _changed(conf) as users:
        users[name] = existing(users, name)._replace(password_hash=_hash(password))
    clouds_file.follow_password(conf, name, password)
    return password


def remove(conf: cfg.ConfigOpts, name: str) -> None:
    """Remove a user and its application tokens. Raises Missing."""
    with _changed(conf) as users:
        del users[existing(users, name).name]
        tokens.revoke_all(conf, name)


def read(conf: cfg.ConfigOpts) -> dict[str, User]:
    """The users by name; none when there is no file. Raises Conflict when a line of it is not
    one."""
    return access_files.read(config.users_file(conf), parse)


@contextmanager
def _changed(conf: cfg.ConfigOpts) -> Iterator[dict[str, User]]:
    """The users, to be changed; written at the end."""
    path = config.users_file(conf)
    with access_files.alone(path):
        users = read(conf)
        yield users
        lines = (
            ":".join(
                [user.name, user.password_hash.decode(), user.project_id, ",".join(user.roles)]
            )
            for user in users.values()
        )
        access_files.write(conf, path, _HEAD, lines)


def existing(users: dict[str, User], name: str) -> User:
    """The user of that name. Raises Missing."""
    if name not in users:
        raise Missing(f"There is no user '{name}'.")
    return users[name]


def _hash(password: str) -> bytes:
    if len(password.encode()) > _LONGEST_PASSWORD:
        raise Invalid(f"A password may have at most {_LONGEST_PASSWORD} bytes.")
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt())


_password_option = click.option(
    "--password-stdin", is_flag=True, help="Read the password from standard input."
)


@click.group("user")
def commands() -> None:
    """Users of the embedded authentication (http_basic).

    \b
    Example:
      abaca user add mary --project blue --role member
    """


@commands.command("add")
@click.argument("name")
@click.option("--project", required=True, help="The project that the user works in.")
@click.option(
    "--role",
    "roles",
    multiple=True,
    type=click.Choice(ROLES),
    default=["member"],
    show_default=True,
    help="May be repeated.",
)
@_password_option
@common_options
def add_command(
    settings: Settings, name: str, project: str, roles: tuple[str, ...], password_stdin: bool
) -> None:
    """Add a user. A random password is made and printed, unless one is given on standard input.

    \b
    Examples:
      abaca user add mary --project blue --role member
      echo "$PASSWORD" | abaca user add mary --project blue --password-stdin
    """
    conf = settings.load()
    given = _given_password() if password_stdin else None
    with failing_clearly():
        password = add(conf, name, project, list(roles), given)
    if given is None:
        click.echo(f"Password of {name}: {password}")
        theirs = {f"{clouds_file.CLOUD}-{name}": clouds_file.entry_as_served(conf, name, password)}
        click.echo(f"\n# an entry for a clouds.yaml\n{clouds_file.as_text(theirs)}")


@commands.command("list")
@common_options
def list_command(settings: Settings) -> None:
    """List the users with their projects and roles.

    \b
    Example:
      abaca user list
    """
    with failing_clearly():
        users = read(settings.load())
    width = max((len(name) for name in users), default=4)
    for user in users.values():
        click.echo(f"{user.name:{width}}  project {user.project_id}  roles {', '.join(user.roles)}")


@commands.command("remove")
@click.argument("name")
@common_options
def remove_command(settings: Settings, name: str) -> None:
    """Remove a user with its tokens. What belongs to the project stays.

    \b
    Example:
      abaca user remove mary
    """
    with failing_clearly():
        remove(settings.load(), name)


@commands.command("passwd")
@click.argument("name")
@_password_option
@common_options
def passwd_command(settings: Settings, name: str, password_stdin: bool) -> None:
    """Give a user a new password: a random one, which is printed, or one from standard input.

    \b
    Examples:
      abaca user passwd mary
      echo "$PASSWORD" | abaca user passwd mary --password-stdin
    """
    given = _given_password() if password_stdin else None
    with failing_clearly():
        password = set_password(settings.load(), name, given)
    if given is None:
        click.echo(f"Password of {name}: {password}")


@contextmanager
def failing_clearly() -> Iterator[None]:
    """Errors that are meant for people end the command with their message."""
    try:
        yield
    except AbacaError as error:
        raise click.ClickException(logs.escaped(error.message)) from error
    except cfg.Error as error:
        raise Refused([str(error)]) from error
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        raise click.ClickException(logs.escaped(what)) from error


def _given_password() -> str:
    password = sys.stdin.readline().rstrip("\n")
    if not password:
        raise click.ClickException("No password was given on standard input.")
    return password
