"""Periodic passes that may run any number of times. What a pass repairs, it repairs by the code
that made it."""
