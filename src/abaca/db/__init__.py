"""The database: engines and transactions, tables, migrations. No rules and no wire formats."""
