"""Storage that is reached over a network of its own: what a pool on it and a file service need of
each other. Values only; neither knows the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Source(NamedTuple):
    """Data of one share in CephFS: the folder `path` of `filesystem`, by a user of Ceph who may use
    nothing else."""

    filesystem: str
    path: str
    user: str
    key: str


class Recovery(NamedTuple):
    """Where a file server notes its clients, so that they may reclaim what they held wherever it
    starts next: a namespace of objects in a pool, by a user of Ceph who may use nothing else."""

    pool: str
    namespace: str
    user: str
    key: str


class Storage(NamedTuple):
    """`namespace`: the network namespace in which Ceph is reached, and no network of a tenant's is.
    `configuration(keyring)`: what a client of Ceph reads to find it; `keyring`: the file with its
    keys.

    `recovery(server id)`. `kept(server id, share id or "", name, value)`: what a file server must
    find wherever it starts: the value that is kept by that name with a share server or with one of
    its shares; where there is none, this one from now on. With None nothing is kept.
    """

    namespace: str
    configuration: Callable[[str], str]
    recovery: Callable[[str], Recovery]
    kept: Callable[[str, str, str, str | None], str | None]
