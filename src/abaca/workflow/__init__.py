"""Durable work on DBOS Transact; nothing else in Abaca imports it. The work itself is in
`operations`."""
