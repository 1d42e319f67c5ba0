"""Who may do what: oslo.policy with every rule in code (`declaration.Rule`), overridden by
`policy.yaml`.

The file is `[oslo_policy] policy_file`: an absolute path, or a name looked for where oslo.config
looks (`/etc/abaca`) and then in the state directory. Decisions are remembered by everything that a
rule can read of a caller, because oslo.policy takes about 0.1 ms a decision; a changed file drops
them. Rows are not judged here: `domain` scopes every lookup by project, so the target is the
caller's own project. A token for the whole system serves administrators only, and makes nothing
that belongs to a project, since it names none.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from oslo_config import cfg
from oslo_policy import policy

from abaca.api import policy_file
from abaca.api.faults import PolicyForbids
from abaca.values import SYSTEM, Caller

LOG = logging.getLogger(__name__)

_LOOK_AGAIN = 1.0  # seconds between two looks at the file
_REMEMBERED = 4096

ADMIN = "rule:admin"
MEMBER = "rule:member"
READER = "rule:reader"
CREATOR = "rule:creator"
ANY_ROLE = "@"

PERSONAS = {
    "admin": "role:admin",
    "in_project": "project_id:%(project_id)s and not system_scope:all",
    "member": "rule:admin or (role:member and rule:in_project)",
    "reader": "rule:member or (role:reader and rule:in_project)",
    "creator": "rule:member and rule:in_project",
}


class Policy:
    """The rules in force, and the decisions made by them. Raises what is wrong with the file when
    it is made; later only logs it.

    `defaults`: every rule by name, with what it says where the file does not.
    """

    def __init__(self, conf: cfg.ConfigOpts, defaults: Mapping[str, str]) -> None:
        self._conf = conf
        self._defaults = defaults
        self._lock = threading.Lock()
        self._looked_at = time.monotonic()
        self._path, self._stamp, self._enforcer = self._load()
        self._decisions: dict[tuple[object, ...], bool] = {}

    def permits(self, caller: Caller, rule: str) -> bool:
        """Whether `caller` may do what `rule` names. A rule that has no default is a bug and
        raises."""
        self._look()
        decisions = self._decisions
        key = (rule, caller.user_id, caller.project_id, caller.roles)
        decision = decisions.get(key)
        if decision is None:
            if len(decisions) >= _REMEMBERED:
                decisions.clear()
            decision = decisions[key] = self._decide(caller, rule)
        return decision

    def enforce(self, caller: Caller, rule: str) -> None:
        """Raises PolicyForbids unless `caller` may do what `rule` names."""
        if not self.permits(caller, rule):
            raise PolicyForbids(rule)

    def _decide(self, caller: Caller, rule: str) -> bool:
        who: dict[str, object] = {
            "user_id": caller.user_id,
            "project_id": caller.project_id,
            "roles": list(caller.roles),
        }
        if caller.project_id == SYSTEM:
            who["system_scope"] = "all"
        return bool(
            self._enforcer.authorize(
                rule, {"project_id": caller.project_id, "user_id": caller.user_id}, who
            )
        )

    def _look(self) -> None:
        if time.monotonic() - self._looked_at < _LOOK_AGAIN:
            return
        with self._lock:
            self._looked_at = time.monotonic()
            if _stamp(self._path) == self._stamp:
                return
            try:
                self._path, self._stamp, self._enforcer = self._load()
            except (OSError, ValueError, policy.InvalidDefinitionError) as error:
                LOG.error("policy file %s: %s; the rules stay as they were", self._path, error)
                self._stamp = _stamp(self._path)
                return
            self._decisions = {}

    def _load(self) -> tuple[Path, tuple[int, int, int] | None, policy.Enforcer]:
        """A fresh enforcer, because an enforcer that reloads keeps what it should forget."""
        enforcer = make_enforcer(self._conf, self._defaults)
        path = policy_file.place(self._conf)
        stamp = _stamp(path)
        wrong = list(complaints(self._conf, self._defaults))
        if wrong:
            raise ValueError(" ".join(wrong))
        enforcer.load_rules()
        enforcer.check_rules(raise_on_violation=True)
        # else every decision asks for the file's time again; this class does that
        enforcer.use_conf = False
        return path, stamp, enforcer


def make_enforcer(conf: cfg.ConfigOpts, defaults: Mapping[str, str]) -> policy.Enforcer:
    """oslo.policy with the rules in code and the place of the file that overrides them; that is not
    read yet."""
    enforcer = policy.Enforcer(conf)
    enforcer.policy_file = str(policy_file.place(conf))
    enforcer.register_defaults(
        [_rule(name, check) for name, check in {**PERSONAS, **defaults}.items()]
    )
    return enforcer


@cache
def _rule(name: str, check: str) -> policy.RuleDefault:
    """A rule in code, parsed once in a process: who registers it gets a copy."""
    return policy.RuleDefault(name, check)


def complaints(conf: cfg.ConfigOpts, defaults: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with the files that override the rules, a sentence each."""
    return policy_file.complaints(conf, {**PERSONAS, **defaults})


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What changes when a file does; None when there is no file."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
