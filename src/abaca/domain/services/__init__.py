"""Services of back ends, what they report, availability zones, what drivers store, and figures of
the whole installation."""
