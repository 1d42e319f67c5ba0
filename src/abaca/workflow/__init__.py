"""Durable workflows on DBOS Transact, which no other package imports. The workflows themselves are
in `operations`."""
