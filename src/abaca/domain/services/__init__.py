"""Services that work for back ends, what they report, availability zones, what drivers keep, and
figures of the whole installation."""
