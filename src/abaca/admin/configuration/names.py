"""Unknown options and sections: by name, with the nearest known one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches

from oslo_config import cfg

from abaca.admin.configuration.given import Given

Sections = Mapping[str, Sequence[cfg.Opt] | None]
"""The sections that there are, with their options; None: whichever, as nobody here knows them."""

GONE = {
    (
        "api",
        "credential_cache_seconds",
    ): "a right password is now remembered until its user's line changes"
}
"""Options that earlier releases had, and what holds instead. They may stay until they are taken
out."""

ELSEWHERE = {
    "api_paste_config": None,
    "debug": "log_level = DEBUG",
    "enabled_share_protocols": None,
    "osapi_max_limit": "[api] max_limit",
    "osapi_max_request_body_size": "[api] max_body_bytes",
    "osapi_share_base_url": "[api] public_endpoint",
    "osapi_share_listen": "[api] listen",
    "osapi_share_listen_port": "[api] port",
    "osapi_share_workers": "[api] workers",
    "policy_file": "[oslo_policy] policy_file",
    "quota_gigabytes": "[quota] gigabytes",
    "quota_share_networks": "[quota] share_networks",
    "quota_shares": "[quota] shares",
    "quota_snapshot_gigabytes": "[quota] snapshot_gigabytes",
    "quota_snapshots": "[quota] snapshots",
    "rootwrap_config": None,
    "share_backend_name": "the name of the section",
    "sql_connection": "[database] connection",
    "state_path": "state_dir",
    "transport_url": None,
}
"""manila.conf's options that are called otherwise here; None: nothing takes their place, and
nothing needs it."""


def unknown(given: Sequence[Given], sections: Sections) -> Iterator[str]:
    """A sentence for each option that there is not, and one for each section of a source.

    A variable of the environment whose section is like none of ours is another program's.
    """
    places = {
        place
        for section, options in sections.items()
        for option in options or ()
        for place in accepted(option, section)
    }
    told = set()
    for each in given:
        if each.section in sections:
            if (
                each.option
                and sections[each.section] is not None
                and (each.section, each.option) not in places | GONE.keys()
            ):
                yield (
                    f"{each.source}: [{each.section}] {_first_word(each.option)}: there is no "
                    f"such option{_instead(each, sections)}"
                )
        elif (each.source, each.section) not in told and (
            nearest(each.section, sections) or not each.is_environment
        ):
            told.add((each.source, each.section))
            near = nearest(each.section, sections)
            yield (
                f"{each.source}: [{each.section}]: there is no such "
                f"section{_meant(near and f'[{near}]')}"
            )


def gone(given: Sequence[Given]) -> Iterator[str]:
    """A sentence for each option that an earlier release had."""
    for each in given:
        if (each.section, each.option) in GONE:
            why = GONE[each.section, each.option]
            yield (
                f"{each.source}: [{each.section}] {each.option} no longer has any effect: "
                f"{why}. Remove it."
            )


def nearest(name: str, known: Mapping[str, object] | Sequence[str]) -> str | None:
    """The one among `known` that was probably meant."""
    by_folded = {each.lower(): each for each in known}
    found = get_close_matches(name.lower(), by_folded, n=1, cutoff=0.7)
    return by_folded[found[0]] if found else None


def accepted(option: cfg.Opt, section: str) -> set[tuple[str, str]]:
    """Where an option may be set, (section, name): its own place and those that it had."""
    places = {(section, option.dest)}
    for former in option.deprecated_opts:
        name = former.name or option.dest
        places |= {
            (former.group or section, name),
            (former.group or section, name.replace("-", "_")),
        }
    return places


def _first_word(option: str) -> str:
    """Of a name with blanks the rest is a value, perhaps a secret one, before which a = is
    missing."""
    word, *more = option.split() or [option]
    return f"{word} …" if more else word


def _instead(each: Given, sections: Sections) -> str:
    """What was probably meant: by Manila's name, in another section, or of a similar name."""
    if each.option in ELSEWHERE:
        other = ELSEWHERE[each.option]
        return (
            f"; it is Manila's, and called {other} here."
            if other
            else "; it is Manila's, and nothing here needs it."
        )
    homes = {
        option.dest: section
        for section, options in reversed([*sections.items()])
        for option in options or ()
    }
    own = [option.dest for option in sections[each.section] or ()]
    found = (
        each.option
        if each.option in homes
        else nearest(each.option, own) or nearest(each.option, homes)
    )
    return _meant(found if found is None or found in own else f"[{homes[found]}] {found}")


def _meant(name: str | None) -> str:
    return f". Did you mean {name}?" if name else "."
