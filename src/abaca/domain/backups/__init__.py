"""Backups of shares: asking for them, restoring and deleting them."""
