"""ADBC and connectorx: whole results by COPY in the binary format, as Arrow and as frames.

    use_adbc.py HOST PORT
"""
import datetime
import sys
from decimal import Decimal

import adbc_driver_postgresql.dbapi as adbc
import connectorx

HOST, PORT = sys.argv[1], int(sys.argv[2])
URL = f"postgresql://analyst@{HOST}:{PORT}/canon"
QUESTION = "SELECT channel, COUNT(*) AS n FROM orders GROUP BY channel ORDER BY channel"


def check(what, expected, got):
    if expected != got:
        sys.exit(f"FAILED {what}: expected {expected!r}, got {got!r}")
    print("ok", what)


with adbc.connect(URL) as conn, conn.cursor() as cursor:
    cursor.execute(QUESTION)
    check("groups", {"channel": ["app", "shop", "web"], "n": [3, 2, 6]}, cursor.fetch_arrow_table().to_pydict())
    cursor.execute("SELECT order_id, channel, items, rating, gross_amount, metric_time, completed_at, discount_amount "
                   "FROM orders WHERE order_id = 9")
    row = cursor.fetch_arrow_table().to_pylist()[0]
    # ADBC gives numerics as text.
    check("types", (9, "app", 4, 4.0, "61.00", datetime.datetime(2026, 3, 29, 1, 30)),
          tuple(row[name] for name in ("order_id", "channel", "items", "rating", "gross_amount", "metric_time")))
    check("an instant", datetime.datetime(2026, 3, 29, 1, tzinfo=datetime.timezone.utc), row["completed_at"])
    cursor.execute("SELECT signed_up_on FROM customers WHERE signed_up_on = DATE '2024-02-29'")
    check("a date", [(datetime.date(2024, 2, 29),)], cursor.fetchall())
    cursor.execute("SELECT COUNT(*) FROM orders WHERE channel = $1", ("shop",))
    check("a parameter", [(2,)], cursor.fetchall())
    cursor.execute("SELECT order_id FROM orders WHERE order_id < 0")
    check("no rows", 0, cursor.fetch_arrow_table().num_rows)
    tables = conn.adbc_get_objects(depth="tables", db_schema_filter="public").read_all().to_pylist()
    names = {table["table_name"] for catalog in tables for schema in catalog["catalog_db_schemas"]
             for table in schema["db_schema_tables"]}
    check("the tables", True, {"orders", "customers"} <= names)
    schema = conn.adbc_get_table_schema("orders", db_schema_filter="public")
    check("a table's schema", "int64", str(schema.field("order_id").type))
    try:
        cursor.execute("SELECT no_such_column FROM orders")
        cursor.fetchall()
        sys.exit("FAILED an unknown column was answered")
    except adbc.Error as error:
        check("the error's code", "42703", error.sqlstate)

for protocol in ("binary", "csv", "cursor", "simple"):
    frame = connectorx.read_sql(URL, QUESTION, protocol=protocol)
    check(f"connectorx, {protocol}", [["app", 3], ["shop", 2], ["web", 6]], frame.values.tolist())
    frame = connectorx.read_sql(URL, "SELECT order_id, gross_amount, rating, metric_time FROM orders WHERE order_id = 9",
                                protocol=protocol)
    check(f"connectorx, {protocol}: types", [9, 61.0, 4.0], frame.values.tolist()[0][:3])
frame = connectorx.read_sql(URL, "SELECT order_id FROM orders", partition_on="order_id", partition_num=3)
check("connectorx in three parts", list(range(1, 12)), sorted(frame["order_id"].tolist()))
