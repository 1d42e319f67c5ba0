"""Share servers: their rows, addresses and subnets."""
