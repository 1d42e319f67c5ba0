"""Share types, their extra specs, and the projects that may use them."""
