"""Run by the Python of upstream Manila's environment: `manila_rows.py PORT COUNT` copies one
available share until there are so many.

Prints the share network of the original, then the ids of shares to read. Making them through the
API would take ten minutes.
"""

from __future__ import annotations

import sys
from uuid import uuid4

import pymysql
from pymysql.cursors import DictCursor


def main(port: int, count: int) -> None:
    """Copy rows of shares, share_instances and their export locations."""
    connection = pymysql.connect(
        host="127.0.0.1", port=port, user="root", database="manila", cursorclass=DictCursor
    )
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM shares WHERE deleted = 'False'")
        ids = [row["id"] for row in cursor.fetchall()]
        cursor.execute(
            "SELECT * FROM share_instances WHERE deleted = 'False' AND status = 'available' LIMIT 1"
        )
        instance = cursor.fetchone()
        cursor.execute("SELECT * FROM shares WHERE id = %s", instance["share_id"])
        share = cursor.fetchone()
        cursor.execute(
            "SELECT * FROM share_instance_export_locations WHERE share_instance_id = %s AND "
            "deleted = 0",
            instance["id"],
        )
        locations = cursor.fetchall()
        for _ in range(count - len(ids)):
            share_id, instance_id = str(uuid4()), str(uuid4())
            _insert(cursor, "shares", {**share, "id": share_id})
            _insert(
                cursor, "share_instances", {**instance, "id": instance_id, "share_id": share_id}
            )
            for location in locations:
                fresh = {**location, "uuid": str(uuid4()), "share_instance_id": instance_id}
                del fresh["id"]
                _insert(cursor, "share_instance_export_locations", fresh)
            ids.append(share_id)
        cursor.execute("ANALYZE TABLE shares, share_instances, share_instance_export_locations")
    connection.commit()
    print(instance["share_network_id"], *ids)


def _insert(cursor: DictCursor, table: str, row: dict[str, object]) -> None:
    names = ", ".join(f"`{name}`" for name in row)
    cursor.execute(
        f"INSERT INTO {table} ({names}) VALUES ({', '.join(['%s'] * len(row))})", list(row.values())
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
