"""Random operations of several projects under random kills. `campaign` runs it, `python -m
tests.crash` prints its report.

The processes are in `site`, the projects' clients in `tenant`, what they were promised in
`promises`; what must be true afterwards in `rows`, `fake_world`, `linux_world` and `visits`.
"""
