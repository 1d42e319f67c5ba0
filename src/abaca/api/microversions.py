"""The API's microversions: what each brought, whether Abaca has it, and how a request's version is
read.

A version is handed around as its minor number: `70` is 2.70. Fields that come and go with versions
are in `wire/`, routes in `routing.py`.
"""

from __future__ import annotations

import re

from abaca.errors import CallerError, Invalid

HEADER = "X-OpenStack-Manila-API-Version"
EXPERIMENTAL_HEADER = "X-OpenStack-Manila-API-Experimental"
MIN_VERSION = 0
MAX_VERSION = 99

# minor number → what it brought. "Later:" means that Abaca does not have it yet; such routes answer
# 404 and such fields are constant.
HISTORY: dict[int, str] = {
    0: "Everything that the field's API had when versions began.",
    1: "Shares are created in an availability zone of choice.",
    2: "Shares and types show snapshot_support.",
    3: "Share instances, for administrators.",
    4: "Later: consistency groups (since replaced by share groups).",
    5: "Shares show task_state. Later: share migration.",
    6: "Shares show the share type by id, and its name beside it.",
    7: "URLs and actions lose their os- prefix.",
    8: "Managed shares may be made public.",
    9: "Export locations are resources of their own and leave the share.",
    10: "Shares show access_rules_status.",
    11: "Shares show replication_type and has_replicas. Later: replicas.",
    12: "Snapshots show provider_location to administrators. Later: managing and unmanaging them.",
    13: "Access rules of type cephx. Later: back ends that take them.",
    14: "Export locations say which are preferred.",
    15: "Later: a migration can be ended in other ways.",
    16: "Shares show the user who made them.",
    17: "Snapshots show user and project.",
    18: "Share networks show their gateway.",
    19: "Later: snapshot instances.",
    20: "Share networks show their MTU.",
    21: "Access rules show access_key.",
    22: "Later: what a share migration is to keep, and another share network or type.",
    23: "Pools can be listed by share type.",
    24: "Creating shares from snapshots is a capability of its own; snapshot_support becomes "
    "optional in share types.",
    25: "Quotas in detail: what is in use beside each limit.",
    26: "Share networks lose nova_net_id.",
    27: "Shares are reverted to their newest snapshot, and show revert_to_snapshot_support.",
    28: "Access rules show the states they pass through.",
    29: "Later: migration in two phases with more choices.",
    30: "Share instances show cast_rules_to_readonly.",
    31: "Share groups, their types, shares in them, and snapshots of groups; experimental to 2.54. "
    "Later: groups made from snapshots.",
    32: "Snapshots can be mounted and have export locations; whoever may use a share may read "
    "them. Later: access rules of their own.",
    33: "Access rules show created_at and updated_at.",
    34: "Share groups have an availability zone and say whether their snapshots are consistent.",
    35: "Shares can be looked up by export location.",
    36: "Lists filter names and descriptions by a part of them (name~, description~).",
    37: "User messages.",
    38: "Access rules take IPv6 addresses.",
    39: "Quotas for each share type.",
    40: "Quotas show share groups.",
    41: "Share types have a description.",
    42: "Lists of shares count all matches on request (with_count).",
    43: "Share types can be looked up by extra specs.",
    44: "Security services have an organisational unit (ou).",
    45: "Access rules are resources of their own, with metadata; the action access_list ends.",
    46: "Share types say which is the default.",
    47: "Later: replicas have export locations of their own.",
    48: "Share types name the availability zones they may be used in.",
    49: "Share servers, and shares on them, are managed and unmanaged; servers show "
    "is_auto_deletable and identifier.",
    50: "Share types can be changed.",
    51: "Share network subnets: a share network has one in each availability zone.",
    52: "Messages can be looked up by time.",
    53: "Quotas and limits show replicas, of which there are none yet.",
    54: "Shares show progress, and creating_from_snapshot as a status.",
    55: "Share groups leave the experimental stage.",
    56: "Later: replication leaves the experimental stage.",
    57: "Share servers show task_state and source_share_server_id. Later: share server migration.",
    58: "Limits show share groups.",
    59: "Later: more detail on the progress of a share server migration.",
    60: "URLs do without the project id (Abaca accepts both forms at every version).",
    61: "Share types bound the size of shares (provisioning:min_share_size, "
    "provisioning:max_share_size).",
    62: "A quota on the size of one share.",
    63: "Security services are attached to and exchanged on share networks in use, after a check; "
    "share networks have a status.",
    64: "An administrator can have a share grow without regard to the room in its pool.",
    65: "Scheduler hints same_host and different_host for new shares.",
    66: "Later: share group types can be looked up by group specs.",
    67: "The scheduler hint only_host, for administrators.",
    68: "Metadata keys that only administrators may change.",
    69: "Shares are soft-deleted, and restored.",
    70: "Several subnets in one availability zone; share servers show all their subnets; the check "
    "before adding one.",
    71: "Share instances show updated_at.",
    72: "Later: replicas on a share network of their own.",
    73: "Metadata of snapshots.",
    74: "Later: replicas and what may be done with their access rules.",
    75: "Later: quiescing replicas.",
    76: "Security services have a default_ad_site, in place of a server.",
    77: "Shares without share servers are handed over to other projects (share transfers).",
    78: "Metadata of share network subnets. The openstack command adds subnets only from here on.",
    79: "Lists of snapshots count all matches on request (with_count).",
    80: "Backups of shares; quotas and limits of them.",
    81: "Resource locks: a share or an access rule that is locked is not deleted.",
    82: "Access rules are listed without naming a share. A rule can be locked against deletion, "
    "and hidden from others, when it is made.",
    83: "Services say why they are disabled.",
    84: "Shares: a mount point name, which their export paths end with; a filter by it.",
    85: "Backups have types.",
    86: "An administrator can have all shares of a back end ensured (ensure-shares); services "
    "show while that runs.",
    87: "Metadata of export locations.",
    88: "The level of an access rule can be changed.",
    89: "Metadata of share network subnets is handed to drivers.",
    90: "Shares and share servers show encryption_key_ref, quotas encryption_keys. Later: shares "
    "encrypted with keys of their own; asking for one is refused (400).",
    91: "A backup can be restored into another share.",
    92: "A managed share gets a mount point name.",
    93: "Services can be listed by whether their shares are being ensured.",
    94: "Later: QoS types.",
    95: "Later: metadata of replicas.",
    96: "Later: share migration leaves the experimental stage.",
    97: "Shares can be listed by availability zone.",
    98: "Later: the progress of a share migration is a resource.",
    99: "Shares and share types show snapshot_inherit_share_access_support.",
}

_SYNTAX = re.compile(r"([1-9]\d{0,5})\.([1-9]\d{0,5}|0)")


class NotAcceptable(CallerError):
    """The version asked for is outside of what is served (406)."""

    status = 406


def text(version: int) -> str:
    """`70` → `2.70`."""
    return f"2.{version}"


def negotiate(header: str | None) -> int:
    """The minor version that a request's header asks for; 0 without a header. Raises Invalid
    (syntax) or NotAcceptable (range)."""
    if header is None:
        return MIN_VERSION
    match = _SYNTAX.fullmatch(header)
    if match is None:
        raise Invalid(
            f"API Version String {header} is of invalid format. Must be of format "
            "MajorNum.MinorNum."
        )
    major, minor = int(match[1]), int(match[2])
    if major != 2 or not MIN_VERSION <= minor <= MAX_VERSION:
        raise NotAcceptable(
            f"Version {header} is not supported by the API. Minimum is {text(MIN_VERSION)} and "
            f"maximum is {text(MAX_VERSION)}."
        )
    return minor
