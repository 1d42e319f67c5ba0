"""Backups of shares, by restic, into a folder of the administrator's.

`target.py`: the folder, and the passwords of what is in it. `calls.py`: what the service asks of
the driver. `jobs.py`: work on a repository that goes on for hours, beside the worker; `work.py` is
the program that does it, `cell.py` what restic sees and may do meanwhile.
"""
