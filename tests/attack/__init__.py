"""Attacks on a running Abaca, while honest clients are watched: `make attack` runs all and prints a
table; `test_attacks.py` runs a short form.

An attack is a function in a module of `data_plane/` (or of another folder that `registry.FOLDERS`
names), marked `@attack(…)`. It is given a stage, which is a running system with honest clients on
it, and a force (how hard and how long), and returns what it saw.
"""
