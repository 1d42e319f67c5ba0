"""Durable work on DBOS Transact; nothing else in Abaca imports it. What the work is stands in
`operations`."""
