"""The cell that each NFS server runs in: what its program sees, what it may do, and which file
handles it opens.

`library.py` builds what is loaded into the program: `handles.c` (a client's handle opens nothing
but objects of the share that it was given for), `calls.c` (the system calls it may make), `room.c`
(`df`) and `connections.c` (how long a silent connection keeps what it holds). `launch.py` is the
program that becomes an NFS server, after `view.py` (the files it sees) and `privileges.py`.
`confinement.py` is the worker's side: it starts a program in a cell, and looks whether one is in a
cell.
"""
