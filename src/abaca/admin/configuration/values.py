"""Invalid values: one sentence each, with where it was set and what is expected."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from oslo_config import cfg, types

from abaca.admin.configuration.given import Given
from abaca.admin.configuration.names import Sections, accepted
from abaca.options import Shaped

_LONGEST = 60  # characters of a value that are shown


def wrong(conf: cfg.ConfigOpts, given: Sequence[Given], sections: Sections) -> Iterator[str]:
    """A sentence for each option whose value does not do. The options are registered in `conf`."""
    for section, options in sections.items():
        for option in options or ():
            place = _place(option, section, given)
            try:
                value = conf[option.dest] if section == "DEFAULT" else conf[section][option.dest]
            except (cfg.TemplateSubstitutionError, cfg.NoSuchOptError):
                yield f"{place}: there is no option to put in place of $…; write $$ for a $."
            except (cfg.Error, ValueError):
                yield f"{place}: {expected(option)} is expected."
            else:
                if _is_missing(value, option):
                    default = f", {option.default}" if option.sample_default is None else ""
                    yield (
                        f"{place}: {expected(option)} is expected; without the line, it is the "
                        f"default{default}."
                    )


def expected(option: cfg.Opt) -> str:
    """What the option takes, as the beginning of a sentence."""
    kind = option.type
    if isinstance(kind, types.Boolean):
        return "true or false"
    if isinstance(kind, types.Number):
        return f"{'a whole number' if kind.num_type is int else 'a number'}{_range(kind)}"
    if isinstance(kind, types.HostAddress):
        return "an IP address or a host name"
    if isinstance(kind, types.IPAddress):
        return "an IP address"
    if isinstance(kind, types.List):
        what = (
            " of IP addresses or host names"
            if isinstance(kind.item_type, types.HostAddress)
            else ""
        )
        return f"a list{what}, separated by commas,"
    if isinstance(kind, Shaped):
        return kind.what
    choices = getattr(kind, "choices", None)
    return f"one of {', '.join(choices)}" if choices else "another value"


def shown(text: str) -> str:
    """A value in a sentence: not too long, and without what would steer a terminal."""
    text = text if text.isprintable() else text.encode("unicode_escape").decode()
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _place(option: cfg.Opt, section: str, given: Sequence[Given]) -> str:
    """Who set it last, and to what; a secret is not shown."""
    places = accepted(option, section)
    last = next((each for each in reversed(given) if (each.section, each.option) in places), None)
    if last is None:
        return f"[{section}] {option.dest}"
    value = "(not shown)" if option.secret else shown(last.value)
    return f"{last.source}: [{last.section}] {last.option} = {value}".rstrip()


def _is_missing(value: object, option: cfg.Opt) -> bool:
    """Set to nothing, where there is something by default."""
    return (
        option.default not in (None, "")
        and value in (None, "")
        and not isinstance(option.type, types.List)
    )


def _range(kind: types.Number) -> str:
    if kind.min is not None and kind.max is not None:
        return f" from {kind.min:g} to {kind.max:.0f}"
    return f", {kind.min:g} or more," if kind.min is not None else ""
