"""Names in DNS, written where resolvers find them: a zone file, or a primary server by RFC 2136.

Nothing here knows rows or projects: names and addresses in, records out. Which names there are:
`domain/shares/dns_names.py`; when they are written: `reconcile/dns_records.py`.
"""
