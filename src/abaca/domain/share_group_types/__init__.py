"""Share group types: what groups of shares administrators offer."""
