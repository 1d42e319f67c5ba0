"""Durable work: one file per workflow, named noun_verb. Importing the package's `all` registers
them all."""
