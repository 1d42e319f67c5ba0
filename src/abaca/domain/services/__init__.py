"""Services that work for back ends, what they report, availability zones, and figures of the whole installation."""
