"""How a port reaches its network: bridges, and what connects them with the outside."""
