"""The cell that each NFS server runs in: what its program sees, what it may do, and which file handles it opens.

`library.py` builds what is loaded into the program: `handles.c` (a client's handle opens nothing
but objects of the share that it was given for) and `calls.c` (system calls it may make).
`launch.py` is the program that takes an NFS server's place in the cell and then becomes it, by
`view.py` (files and processes it sees) and `privileges.py`. `jail.py` is the worker's side: it
starts an NFS server in a cell, and looks whether one is in a cell.
"""
