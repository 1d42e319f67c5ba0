"""Networks that Abaca keeps itself: networks, subnets, and ports with their addresses."""
