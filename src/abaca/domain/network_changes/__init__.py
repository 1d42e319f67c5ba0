"""Share networks that change in use: a subnet added, a security service exchanged, a server
repaired or managed."""
