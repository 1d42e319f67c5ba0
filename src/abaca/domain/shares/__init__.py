"""Shares and their instances, export locations and access rules; making, managing and deleting
them; resource locks."""
