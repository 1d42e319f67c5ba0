"""`abaca tls show | renew`: the certificate that the API serves with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click
from oslo_config import cfg

from abaca.admin import logs, state_dir, users
from abaca.admin.settings import Settings, address_options, common_options
from abaca.errors import Conflict

if TYPE_CHECKING:
    from cryptography import x509

    from abaca.api.certificates import Served


@click.group("tls")
def commands() -> None:
    """The certificate that the API serves with, and the authority that clients are to trust.

    Where Abaca listens beyond loopback and no certificate is configured, it makes both by itself,
    and renews the certificate before it ends.

    \b
    Example:
      abaca tls show
    """


@commands.command("show")
@click.option("--pem", is_flag=True, help="Only what clients are to trust, as PEM.")
@address_options
@common_options
def show_command(settings: Settings, pem: bool) -> None:
    """Say which certificate is served, until when and for which names, and how clients come to
    trust it.

    \b
    Examples:
      abaca tls show
      abaca tls show --pem > abaca-ca.pem
    """
    from abaca.api import certificates

    with users.failing_clearly():
        conf = settings.load(is_quiet=pem)
        found = _served(conf)
        trusted = certificates.read(found.trusted)
        if trusted is None:
            raise Conflict(
                f"{found.trusted} is not there, or is no certificate"
                + (": the first start, or `abaca init`, makes it." if found.is_own else ".")
            )
        if pem:
            click.echo(found.trusted.read_text(), nl=False)
            return
        for line in _described(conf, found, trusted):
            click.echo(logs.escaped(line))


@commands.command("renew")
@click.option(
    "--new-authority",
    is_flag=True,
    help="Make another authority, too: when its key may be known to others. Until clients trust "
    "it, they refuse the API.",
)
@address_options
@common_options
def renew_command(settings: Settings, new_authority: bool) -> None:
    """Make a new certificate now, with the names and addresses that the API has today. The API
    takes it within seconds, without a restart; requests that have begun are answered.

    A certificate that is about to end, or lacks a name, is made anew by itself. The former one is
    valid until its end: with --new-authority no client trusts it any more.

    \b
    Examples:
      abaca tls renew
      abaca tls renew --new-authority
    """
    from abaca.admin import own_tls

    with users.failing_clearly():
        conf = settings.load()
        found = _served(conf)
        if not found.is_own:
            raise Conflict(
                f"{found.certificate} is configured ([api] ssl_certificate): exchange the file "
                "and its key, and the API takes them within seconds."
            )
        state_dir.refuse_unfinished_restore(conf)
        state_dir.make_folder(conf)
        with state_dir.one_at_a_time(conf):
            done = own_tls.keep(conf, anew=True, new_authority=new_authority)
        for line in done:
            click.echo(logs.escaped(line))


def _served(conf: cfg.ConfigOpts) -> Served:
    from abaca.api import certificates

    found = certificates.served(conf)
    if found is None:
        raise Conflict(
            f"The API listens on {conf.api.listen}, port {conf.api.port}, without TLS"
            + (
                ", because [api] allow_cleartext = true says so."
                if conf.api.allow_cleartext
                else ": only this machine reaches it. Beyond loopback ([api] listen, or --listen) "
                "it serves TLS."
            )
        )
    return found


def _described(conf: cfg.ConfigOpts, found: Served, trusted: x509.Certificate) -> Iterator[str]:
    from abaca.admin import own_tls
    from abaca.api import certificates

    yield "Clients trust" if found.is_own else "The certificate is configured"
    yield f"  file         {found.trusted}"
    yield f"  name         {trusted.subject.rfc4514_string()}"
    yield f"  SHA-256      {own_tls.fingerprint(trusted)}"
    yield f"  until        {trusted.not_valid_after_utc:%Y-%m-%d}"
    if found.is_own:
        yield "The API's certificate"
        served = certificates.read(found.certificate)
        if served is None:
            yield f"  {found.certificate} is not there, or not for you to read: ask root"
        else:
            yield from _certificate(served)
    else:
        yield from _certificate(trusted)
    yield "On another machine, once the file is there and its SHA-256 was compared"
    yield "  openstack    export OS_CACERT=/path/to/the/file   (or cacert: in clouds.yaml)"
    yield f"  curl         curl --cacert /path/to/the/file {_url(conf)}"
    yield "  Terraform    cacert_file   (or OS_CACERT)"
    yield "  manila-csi   os-certAuthorityPath in its Secret"


def _url(conf: cfg.ConfigOpts) -> str:
    """By a name that other machines know, not this one's address of itself."""
    from abaca.admin import own_tls

    if conf.api.public_endpoint:
        return f"{conf.api.public_endpoint}".rstrip("/") + "/"
    name = own_tls.names(conf)[0]
    return f"https://{f'[{name}]' if ':' in name else name}:{conf.api.port}/"


def _certificate(served: x509.Certificate) -> Iterator[str]:
    from abaca.admin import own_tls

    yield f"  names        {', '.join(own_tls.names_in(served)) or '-'}"
    yield f"  SHA-256      {own_tls.fingerprint(served)}"
    yield f"  until        {served.not_valid_after_utc:%Y-%m-%d}"
