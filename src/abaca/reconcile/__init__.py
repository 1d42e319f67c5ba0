"""Periodic passes, which may run any number of times. A pass repairs something with the code that
made it."""
