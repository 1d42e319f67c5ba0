"""Who speaks to clients: one package per protocol."""
