"""Extra specs of the scope `nfs:`: what an NFS server believes of a share's clients. Pure.

NFS clients say themselves who they are (AUTH_SYS): a share type decides how much of that counts.

| extra spec | values | default |
|---|---|---|
| `nfs:squash` | `no_root_squash`, `root_squash`, `all_squash` | `no_root_squash` |
| `nfs:anonymous_uid`, `nfs:anonymous_gid` | 0 to 4294967294 | 65534 |
| `nfs:privileged_ports` | a boolean | `true` |

The API refuses other keys and values (`domain/share_types/share_types.py`); drivers that serve NFS
apply them.
"""

from __future__ import annotations

from collections.abc import Mapping

from oslo_utils import strutils

from abaca.errors import Refused
from abaca.values import Value

SCOPE = "nfs:"
SQUASHES = ("no_root_squash", "root_squash", "all_squash")
NOBODY = 65534
HIGHEST_ID = 2**32 - 2  # the next one, -1, means "leave it as it is" to chown


class NfsSpecs(Value):
    """How clients of a share are believed.

    `squash`: whose ids are replaced by the anonymous ones: nobody's, root's, or everybody's.
    `privileged_ports`: only clients that send from a port below 1024 may use the share.
    """

    squash: str = SQUASHES[0]
    anonymous_uid: int = NOBODY
    anonymous_gid: int = NOBODY
    privileged_ports: bool = True


def nfs_specs(extra_specs: Mapping[str, str]) -> NfsSpecs:
    """The share type's `nfs:` specs. Raises Refused, naming what may be there, for any it does
    not know."""
    specs = NfsSpecs()
    given = {
        key.removeprefix(SCOPE): spec.strip()
        for key, spec in extra_specs.items()
        if key.startswith(SCOPE)
    }
    unknown = sorted(given.keys() - set(specs.__struct_fields__))
    if unknown:
        known = ", ".join(SCOPE + name for name in specs.__struct_fields__)
        raise Refused(f"{SCOPE}{unknown[0]}: there is no such extra spec; known are {known}.")
    squash = given.get("squash", specs.squash)
    if squash not in SQUASHES:
        raise _wrong("squash", squash, f"one of {', '.join(SQUASHES)}")
    return NfsSpecs(
        squash=squash,
        anonymous_uid=_id(given, "anonymous_uid"),
        anonymous_gid=_id(given, "anonymous_gid"),
        privileged_ports=_boolean(given, "privileged_ports", specs.privileged_ports),
    )


def _id(given: Mapping[str, str], name: str) -> int:
    text = given.get(name, str(NOBODY))
    if not (text.isascii() and text.isdecimal() and len(text) <= 10 and int(text) <= HIGHEST_ID):
        raise _wrong(name, text, f"a whole number from 0 to {HIGHEST_ID}")
    return int(text)


def _boolean(given: Mapping[str, str], name: str, default: bool) -> bool:
    text = given.get(name, str(default))
    parsed = strutils.bool_from_string(text.removeprefix("<is>").strip(), default=None)
    if not isinstance(parsed, bool):
        raise _wrong(name, text, "a boolean")
    return parsed


def _wrong(name: str, text: str, wanted: str) -> Refused:
    return Refused(f"{SCOPE}{name}={text}: must be {wanted}.")
