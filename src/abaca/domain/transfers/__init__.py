"""Shares that are handed over to other projects."""
