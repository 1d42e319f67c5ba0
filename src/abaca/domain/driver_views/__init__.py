"""The values that drivers are given, read from rows."""
