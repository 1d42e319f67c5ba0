"""`abaca token create | list | revoke`: application tokens, with which programs log in in place of
a user's password."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click
import msgspec

from abaca.admin import clouds_file, tokens, users
from abaca.admin.settings import Settings, common_options
from abaca.api.tokens_file import end_text

_DAYS, _MOST_DAYS = 90, 36500


@click.group("token")
def commands() -> None:
    """Application tokens: what a program logs in with in place of a user's password.

    \b
    Example:
      abaca token create nightly --user mary --role reader --days 30
    """


_user_option = click.option("--user", "user_name", required=True, help="Whose token it is.")


@commands.command("create")
@click.argument("name")
@_user_option
@click.option(
    "--role",
    "roles",
    multiple=True,
    type=click.Choice(users.ROLES),
    help="May be repeated.  [default: the user's roles]",
)
@click.option(
    "--days",
    type=click.IntRange(1, _MOST_DAYS),
    default=_DAYS,
    show_default=True,
    help="How long the token is valid.",
)
@click.option("--never-ends", is_flag=True, help="The token is valid until it is revoked.")
@common_options
def create_command(
    settings: Settings,
    name: str,
    user_name: str,
    roles: tuple[str, ...],
    days: int,
    never_ends: bool,
) -> None:
    """Make a token and print its secret, which is shown this once.

    A program logs in by http_basic as USER+NAME with the secret. It works in the user's project,
    with the token's roles as long as the user has them.

    \b
    Examples:
      abaca token create csi --user mary
      abaca token create nightly --user mary --role reader --days 30
    """
    conf = settings.load()
    end = None if never_ends else datetime.now(UTC) + timedelta(days=days)
    with users.failing_clearly():
        user = users.existing(users.read(conf), user_name)
        token, secret = tokens.create(conf, name, user, list(roles), end)
        entry = clouds_file.entry_as_served(conf, token.login, secret)
    click.echo(f"Login of the token: {token.login}")
    click.echo(f"Secret, shown this once: {secret}")
    click.echo(f"Ends: {end_text(token.end)}")
    theirs = {f"{clouds_file.CLOUD}-{token.user}-{token.name}": entry}
    click.echo(f"\n# an entry for a clouds.yaml\n{clouds_file.as_text(theirs)}")


@commands.command("list")
@click.option("--user", "user_name", help="Only this user's.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@common_options
def list_command(settings: Settings, user_name: str | None, as_json: bool) -> None:
    """List the tokens with their users, roles, ends and states. Tokens that have ended are listed
    for a month.

    \b
    Example:
      abaca token list --user mary
    """
    conf = settings.load()
    with users.failing_clearly():
        known = users.read(conf)
        rows = [
            {
                "user": token.user,
                "name": token.name,
                "roles": list(token.roles),
                "end": end_text(token.end),
                "state": tokens.state(token, known.get(token.user)),
            }
            for token in tokens.read(conf).values()
            if user_name in (None, token.user)
        ]
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(rows)).decode())
        return
    width = max((len(f"{row['user']}+{row['name']}") for row in rows), default=5)
    for row in rows:
        login, roles = f"{row['user']}+{row['name']}", ", ".join(row["roles"])
        click.echo(f"{login:{width}}  {row['state']}  roles {roles}  ends {row['end']}")


@commands.command("revoke")
@click.argument("name")
@_user_option
@common_options
def revoke_command(settings: Settings, name: str, user_name: str) -> None:
    """Remove a token: whoever uses it is refused within a second.

    \b
    Example:
      abaca token revoke nightly --user mary
    """
    with users.failing_clearly():
        tokens.revoke(settings.load(), name, user_name)
