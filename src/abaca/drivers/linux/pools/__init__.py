"""Where the bytes of shares are: one module a kind of pool."""
