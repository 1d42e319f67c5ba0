"""Durable work, one file a workflow, named noun_verb. Importing the package's `all` registers every
one of them."""
