"""Snapshots of shares, their instances and export locations."""
