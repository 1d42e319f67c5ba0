"""Who may do what: oslo.policy with every rule in code, overridden by `policy.yaml`.

The file is `[oslo_policy] policy_file`: an absolute path, or a name looked for where oslo.config looks (`/etc/abaca`) and then in the state
directory. Decisions are remembered by everything that a rule can read of a caller, because oslo.policy takes about 0.1 ms a decision;
a changed file drops them. Rows are not judged here: `domain` scopes every lookup by project, so the target is the caller's own project.
A token for the whole system serves administrators only, and makes nothing that belongs to a project, since it names none.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
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

PERSONAS = {
    "admin": "role:admin",
    "in_project": "project_id:%(project_id)s and not system_scope:all",
    "member": "rule:admin or (role:member and rule:in_project)",
    "reader": "rule:member or (role:reader and rule:in_project)",
    "creator": "rule:member and rule:in_project",
}

RULES: dict[str, str] = {
    "availability_zone:index": READER,
    "extension:index": READER,
    "limits:index": READER,
    "local_network:create": CREATOR,
    "local_network:delete": MEMBER,
    "local_network:get": READER,
    "local_network:update": MEMBER,
    "local_subnet:create": MEMBER,
    "local_subnet:delete": MEMBER,
    "local_subnet:get": READER,
    "local_subnet:update": MEMBER,
    "message:delete": MEMBER,
    "message:get": READER,
    "message:get_all": READER,
    "metrics:get": ADMIN,
    "quota_class_set:show": ADMIN,
    "quota_class_set:update": ADMIN,
    "quota_set:delete": ADMIN,
    "quota_set:show": READER,
    "quota_set:update": ADMIN,
    "resource_lock:bypass_locked_show_action": ADMIN,
    "resource_lock:create": MEMBER,
    "resource_lock:delete": MEMBER,
    "resource_lock:get": READER,
    "resource_lock:get_all": READER,
    "resource_lock:get_all_projects": ADMIN,
    "resource_lock:update": MEMBER,
    "scheduler_stats:pools:detail": ADMIN,
    "scheduler_stats:pools:index": ADMIN,
    "security_service:create": CREATOR,
    "security_service:delete": MEMBER,
    "security_service:detail": READER,
    "security_service:get_all_security_services": ADMIN,
    "security_service:index": READER,
    "security_service:show": READER,
    "security_service:show_password": MEMBER,
    "security_service:update": MEMBER,
    "service:ensure_shares": ADMIN,
    "service:index": ADMIN,
    "service:update": ADMIN,
    "share:access_get_all": READER,
    "share:allow_access": MEMBER,
    "share:create": CREATOR,
    "share:create_public_share": ADMIN,
    "share:create_snapshot": MEMBER,
    "share:delete": MEMBER,
    "share:delete_share_metadata": MEMBER,
    "share:delete_snapshot": MEMBER,
    "share:deny_access": MEMBER,
    "share:extend": MEMBER,
    "share:force_delete": ADMIN,
    "share:force_extend": ADMIN,
    "share:get": READER,
    "share:get_all": READER,
    "share:get_share_metadata": READER,
    "share:list_all_projects": ADMIN,
    "share:list_by_host": ADMIN,
    "share:list_by_share_server_id": ADMIN,
    "share:manage": ADMIN,
    "share:reset_status": ADMIN,
    "share:reset_task_state": ADMIN,
    "share:restore": MEMBER,
    "share:revert_to_snapshot": MEMBER,
    "share:set_public_share": ADMIN,
    "share:shrink": MEMBER,
    "share:snapshot_update": MEMBER,
    "share:soft_delete": MEMBER,
    "share:unmanage": ADMIN,
    "share:update": MEMBER,
    "share:update_admin_only_metadata": ADMIN,
    "share:update_share_metadata": MEMBER,
    "share_access_metadata:delete": MEMBER,
    "share_access_metadata:update": MEMBER,
    "share_access_rule:get": READER,
    "share_access_rule:index": READER,
    "share_access_rule:update": MEMBER,
    "share_export_location:delete_metadata": MEMBER,
    "share_export_location:get_metadata": READER,
    "share_export_location:index": READER,
    "share_export_location:show": READER,
    "share_export_location:update_admin_only_metadata": ADMIN,
    "share_export_location:update_metadata": MEMBER,
    "share_group:get_all": READER,
    "share_group_snapshot:get_all": READER,
    "share_group_type:index": READER,
    "share_instance:force_delete": ADMIN,
    "share_instance:index": ADMIN,
    "share_instance:reset_status": ADMIN,
    "share_instance:show": ADMIN,
    "share_instance_export_location:index": ADMIN,
    "share_instance_export_location:show": ADMIN,
    "share_network:add_security_service": MEMBER,
    "share_network:add_security_service_check": MEMBER,
    "share_network:create": CREATOR,
    "share_network:delete": MEMBER,
    "share_network:get_all_share_networks": ADMIN,
    "share_network:index": READER,
    "share_network:remove_security_service": MEMBER,
    "share_network:reset_status": ADMIN,
    "share_network:show": READER,
    "share_network:subnet_create_check": MEMBER,
    "share_network:update": MEMBER,
    "share_network:update_security_service": MEMBER,
    "share_network:update_security_service_check": MEMBER,
    "share_network_subnet:create": MEMBER,
    "share_network_subnet:delete": MEMBER,
    "share_network_subnet:delete_metadata": MEMBER,
    "share_network_subnet:get_metadata": READER,
    "share_network_subnet:index": READER,
    "share_network_subnet:show": READER,
    "share_network_subnet:update_metadata": MEMBER,
    "share_replica:get_all": READER,
    "share_server:delete": ADMIN,
    "share_server:details": ADMIN,
    "share_server:index": ADMIN,
    "share_server:manage_share_server": ADMIN,
    "share_server:reset_status": ADMIN,
    "share_server:reset_task_state": ADMIN,
    "share_server:show": ADMIN,
    "share_server:unmanage_share_server": ADMIN,
    "share_snapshot:delete_metadata": MEMBER,
    "share_snapshot:force_delete": ADMIN,
    "share_snapshot:get_all_snapshots": READER,
    "share_snapshot:get_metadata": READER,
    "share_snapshot:get_snapshot": READER,
    "share_snapshot:list_all_projects": ADMIN,
    "share_snapshot:reset_status": ADMIN,
    "share_snapshot:update_metadata": MEMBER,
    "share_snapshot_export_location:index": READER,
    "share_snapshot_export_location:show": READER,
    "share_type:add_project_access": ADMIN,
    "share_type:create": ADMIN,
    "share_type:default": READER,
    "share_type:delete": ADMIN,
    "share_type:index": READER,
    "share_type:list_project_access": ADMIN,
    "share_type:remove_project_access": ADMIN,
    "share_type:show": READER,
    "share_type:update": ADMIN,
    "share_types_extra_spec:create": ADMIN,
    "share_types_extra_spec:delete": ADMIN,
    "share_types_extra_spec:index": ADMIN,
    "share_types_extra_spec:show": ADMIN,
    "share_types_extra_spec:update": ADMIN,
}


class Policy:
    """The rules in force, and the decisions made by them. Raises what is wrong with the file when it is made; later only logs it."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._conf = conf
        self._lock = threading.Lock()
        self._looked_at = time.monotonic()
        self._path, self._stamp, self._enforcer = self._load()
        self._decisions: dict[tuple[object, ...], bool] = {}

    def permits(self, caller: Caller, rule: str) -> bool:
        """Whether `caller` may do what `rule` names. A rule that is not in RULES is a bug and raises."""
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
        who: dict[str, object] = {"user_id": caller.user_id, "project_id": caller.project_id, "roles": list(caller.roles)}
        if caller.project_id == SYSTEM:
            who["system_scope"] = "all"
        return bool(self._enforcer.authorize(rule, {"project_id": caller.project_id, "user_id": caller.user_id}, who))

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
        enforcer = make_enforcer(self._conf)
        path = policy_file.place(self._conf)
        stamp = _stamp(path)
        wrong = list(complaints(self._conf))
        if wrong:
            raise ValueError(" ".join(wrong))
        enforcer.load_rules()
        enforcer.check_rules(raise_on_violation=True)
        enforcer.use_conf = False  # else every decision asks for the file's time again; this class does that
        return path, stamp, enforcer


def make_enforcer(conf: cfg.ConfigOpts) -> policy.Enforcer:
    """oslo.policy with the rules in code and the place of the file that overrides them; that is not read yet."""
    enforcer = policy.Enforcer(conf)
    enforcer.policy_file = str(policy_file.place(conf))
    enforcer.register_defaults([policy.RuleDefault(name, check) for name, check in (PERSONAS | RULES).items()])
    return enforcer


def complaints(conf: cfg.ConfigOpts) -> Iterator[str]:
    """What is wrong with the files that override the rules, a sentence each."""
    return policy_file.complaints(conf, PERSONAS | RULES)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What changes when a file does; None when there is no file."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
