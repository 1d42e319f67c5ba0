"""The tests. `tests.databases` gives databases; each folder says in ARCHITECTURE.md what it holds
real."""
