"""Where a share is placed: pure functions from a request and the known pools to one pool, or to the
reason why each pool was rejected."""
