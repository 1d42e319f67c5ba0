"""Capacity and use of it: pools, placement, quotas, used bytes."""
