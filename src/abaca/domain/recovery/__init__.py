"""Work that was given up: how it is resumed, and what is set right without it."""
