"""Attacks by a client of a file server."""
