"""A back end without storage: real semantics, a world in memory and in a file, and faults on
demand.

It ships: `abaca serve` falls back to it where the Linux back end cannot run, and most tests and the
benchmarks run on it.
"""

from abaca.drivers.fake.driver import FakeDriver

__all__ = ["FakeDriver"]
