"""NFS: one Ganesha per share server, what it exports, and to whom."""
