"""Benchmarks: how fast Abaca is, and how it compares with upstream Manila on the same machine.
Nothing in tests/ is timed; everything here is.

`python -m bench` measures Abaca, `python -m bench peer` upstream Manila with the same client and
then both side by side. What is measured is in `reads`, `creations`, `additions` and
`footprint`; the services in `abaca_service` and `manila_service`.
"""
