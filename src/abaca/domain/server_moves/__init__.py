"""Share servers that go from one host to another."""
