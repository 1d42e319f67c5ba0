"""Work that was given up: how it is resumed, and what is repaired without that."""
