"""What a project was promised, request by request, and whether it was kept: what was accepted is
done, what was refused is not.

A request without an answer promises nothing: either is right, and what is found is what holds from
then on.
"""

from __future__ import annotations

from collections.abc import Mapping

Key = tuple[str, ...]
"""(`share`, name), (`snapshot`, name), (`network`, name), (`subnet`, network, Neutron's subnet),
(`rule`, share, access_to), (`group`, name), (`group snapshot`, name) or (`backup`, name)."""
BY_ITSELF = "by itself"
"""Begins the key of what nobody asked for, and what may go again: what a schedule has made, the
shares that are made with a group, what came with a share of another project."""


class Promises:
    """`unanswered`, how often what had no answer was found done, and not."""

    def __init__(self) -> None:
        self._possible: dict[Key, set[bool]] = {}
        self._sizes: dict[str, set[int]] = {}
        self.found_done = 0
        self.found_not_done = 0

    def asked(self, key: Key, *, is_there: bool, is_certain: bool) -> None:
        """It was asked to be made, or to be taken away, and accepted or not answered."""
        before = self._possible.get(key, {key[0] == BY_ITSELF})
        self._possible[key] = {is_there} if is_certain else before | {is_there}
        if key[0] == "share" and not is_there:  # one of the same name that comes later has no rules
            for rule in [each for each in self._possible if each[:2] == ("rule", key[1])]:
                self.asked(rule, is_there=False, is_certain=is_certain)

    def asked_for_size(self, share: str, size: int, *, is_certain: bool) -> None:
        self._sizes[share] = {size} if is_certain else self._sizes.get(share, set()) | {size}

    def passed_on(self, share: str, *, is_certain: bool) -> None:
        """Another project has accepted it, or it is let go."""
        self.asked(("share", share), is_there=False, is_certain=is_certain)
        self._sizes.pop(share, None)

    def settle(self, found: Mapping[Key, int | None]) -> list[str]:
        """What of it was not kept. `found`: all that is there now, shares with their size, if it is
        certain. From now on it is what is promised."""
        broken = [
            f"{' '.join(key)} is there, and nobody asked for it"
            for key in found.keys() - self._possible.keys()
            if key[0] != BY_ITSELF
        ]
        for key, possible in list(self._possible.items()):
            is_there = key in found
            if self._has_gone_with_another(key, found):
                continue
            if is_there not in possible:
                what = "there, although its deletion"
                if not is_there:
                    what = "not there, although its creation"
                broken.append(f"{' '.join(key)} is {what} was accepted")
            elif len(possible) == 2:
                self.found_done += is_there
                self.found_not_done += not is_there
        for key, size in found.items():
            if (
                key[0] == "share"
                and size is not None
                and size not in self._sizes.get(key[1], {size})
            ):
                broken.append(
                    f"{' '.join(key)} has {size} GiB, although it was to have "
                    f"{sorted(self._sizes[key[1]])}"
                )
        self._possible = {key: {True} for key in found if key[0] != BY_ITSELF}
        self._sizes = {
            key[1]: {size} for key, size in found.items() if key[0] == "share" and size is not None
        }
        return broken

    @staticmethod
    def _has_gone_with_another(key: Key, found: Mapping[Key, int | None]) -> bool:
        """Subnets go with their network, rules with their share."""
        owner = {"subnet": "network", "rule": "share"}.get(key[0])
        return owner is not None and (owner, key[1]) not in found
