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


class Storage(NamedTuple):
    """`namespace`: the network namespace in which Ceph is reached, and no network of a tenant's is.
    `configuration()`: what a client of Ceph reads to find it."""

    namespace: str
    configuration: Callable[[], str]
