"""Makes Neutron's tables in an empty SQLite database, whose migrations need what SQLite has not.
Run by the OpenStack environment's Python.

neutron_tables.py URL
"""

import sys

import sqlalchemy as sa
from neutron.db.migration.models import head

head.get_metadata().create_all(sa.create_engine(sys.argv[1]))
