"""Errors in the files that override policy rules: by rule, with the nearest known one."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path

import yaml
from oslo_config import cfg
from oslo_policy import opts, policy

from abaca.config import state_path
from abaca.regular_files import NotRegular, require_regular

USUAL = "policy.yaml"
_REFERENCE = re.compile(r"\brule:([^\s()]+)")


def place(conf: cfg.ConfigOpts) -> Path:
    """Where the file is, or would be."""
    opts.set_defaults(conf)
    named = conf.oslo_policy.policy_file
    return Path(conf.find_file(named) or state_path(conf, named))


def complaints(conf: cfg.ConfigOpts, known: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each thing that is wrong; `known`: the rules in code, by name. A file that
    cannot be read is reported elsewhere."""
    path = place(conf)
    if not path.exists() and conf.oslo_policy.policy_file != USUAL:
        yield (
            f"[oslo_policy] policy_file = {conf.oslo_policy.policy_file}: there is no such file "
            f"({path})."
        )
    for file in _files(conf, path):
        try:
            found = _content(file)
        except NotRegular as error:
            yield str(error)
        except ValueError as error:
            yield f"{file}: {error}"
        except PermissionError:
            continue
        else:
            rules = {
                name: check
                for name, check in found.items()
                if isinstance(name, str) and isinstance(check, str)
            }
            yield from (
                f"{file}: the value of {name} is not text: put it in quotes."
                for name in found
                if name not in rules
            )
            yield from (f"{file}: {complaint}" for complaint in _of_rules(rules, known))


def _files(conf: cfg.ConfigOpts, path: Path) -> Iterator[Path]:
    """Those that oslo.policy reads."""
    if path.exists():
        yield path
    for named in conf.oslo_policy.policy_dirs:
        folder = conf.find_file(named)
        if folder:
            yield from sorted(
                each
                for each in Path(folder).iterdir()
                if each.is_file() and not each.name.startswith(".")
            )


def _content(file: Path) -> dict[object, object]:
    """Raises ValueError, with the rest of a sentence, for a file that holds no rules."""
    try:
        require_regular(file)
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ValueError(
            f'{line}this is not YAML, {error.problem}. A rule is a line: "share:create": '
            '"rule:admin".'
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError("this is not YAML in UTF-8.") from error
    if not isinstance(found, dict | None):
        raise ValueError('rules are expected, a line each: "share:create": "rule:admin".')
    return found or {}


def _of_rules(rules: Mapping[str, str], known: Mapping[str, str]) -> Iterator[str]:
    used = {name for check in rules.values() for name in _REFERENCE.findall(check)}
    for name, check in rules.items():
        if name not in known and name not in used:
            yield f"there is no rule {name}, and no other rule refers to it.{_guess(name, known)}"
        if not _is_understood(check):
            yield (
                f'{name}: "{check}" cannot be understood; it would forbid it to everybody ("!" '
                "says that)."
            )
        for other in _REFERENCE.findall(check):
            if other not in known and other not in rules:
                yield (
                    f"{name} refers to rule:{other}, which does not "
                    f"exist.{_guess(other, [*known, *rules])}"
                )


def _is_understood(check: str) -> bool:
    """oslo.policy takes what it does not understand for "!", and says so in the log only."""
    parser = logging.getLogger("oslo_policy._parser")
    parser.disabled = True
    try:
        return str(policy.RuleDefault("any", check).check) != "!" or check.strip() == "!"
    finally:
        parser.disabled = False


def _guess(name: str, known: Mapping[str, str] | list[str]) -> str:
    near = get_close_matches(name, known, n=1, cutoff=0.7)
    return f" Did you mean {near[0]}?" if near else ""
