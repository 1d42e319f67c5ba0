"""Share networks, their subnets and security services."""
