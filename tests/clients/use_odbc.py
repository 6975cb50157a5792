"""psqlodbc through pyodbc, as Excel, Tableau and Power BI come: with and without cursors of the server's.

    use_odbc.py HOST PORT
"""
import datetime
import sys
from decimal import Decimal

import pyodbc

HOST, PORT = sys.argv[1], int(sys.argv[2])
BY_CHANNEL = [("app", Decimal("78.00")), ("shop", Decimal("90.00")), ("web", Decimal("337.00"))]
QUESTION = "SELECT channel, SUM(revenue) FROM orders GROUP BY channel ORDER BY channel"


def check(what, expected, got):
    if expected != got or type(expected) is not type(got):
        sys.exit(f"FAILED {what}: expected {expected!r}, got {got!r}")
    print("ok", what)


def connect(**options):
    parts = {"Driver": "{PostgreSQL Unicode}", "Server": HOST, "Port": PORT, "Uid": "analyst",
             "Database": "canon", "SSLmode": "disable", **options}
    return pyodbc.connect(";".join(f"{name}={value}" for name, value in parts.items()), timeout=10)


def tuples(rows):
    return [tuple(row) for row in rows]


for options in ({}, {"UseDeclareFetch": 1, "Fetch": 3}, {"UseServerSidePrepare": 0}, {"Protocol": "7.4-2"}):
    conn = connect(**options)
    cursor = conn.cursor()
    said = " ".join(f"{name}={value}" for name, value in options.items()) or "defaults"
    check(f"{said}: groups", BY_CHANNEL, tuples(cursor.execute(QUESTION).fetchall()))
    check(f"{said}: all rows", list(range(1, 12)),
          [row[0] for row in cursor.execute("SELECT order_id FROM orders ORDER BY order_id")])
    check(f"{said}: parameters", Decimal("90.00"), cursor.execute(
        "SELECT SUM(revenue) FROM orders WHERE channel = ? AND order_id < ?", "shop", 8).fetchval())
    check(f"{said}: a date", 2, cursor.execute(
        "SELECT COUNT(*) FROM customers WHERE signed_up_on >= ?", datetime.date(2025, 12, 31)).fetchval())
    check(f"{said}: types", (9, "app", Decimal("61.00"), 4, 4.0, datetime.datetime(2026, 3, 29, 1, 30)),
          tuple(cursor.execute("SELECT order_id, channel, gross_amount, items, rating, metric_time "
                               "FROM orders WHERE order_id = 9").fetchone()))
    check(f"{said}: a NULL", None, cursor.execute(
        "SELECT discount_amount FROM orders WHERE order_id = 6").fetchval())
    conn.commit()
    try:
        cursor.execute("SELECT no_such_column FROM orders")
        sys.exit("FAILED an unknown column was answered")
    except pyodbc.Error as error:
        check(f"{said}: the error's code", "42703", error.args[0].replace("42S22", "42703"))
    conn.rollback()
    check(f"{said}: after the error", BY_CHANNEL, tuples(cursor.execute(QUESTION).fetchall()))
    conn.close()

conn = connect()
cursor = conn.cursor()
names = {row.table_name for row in cursor.tables(schema="public", tableType="TABLE,VIEW")}
check("SQLTables", True, {"orders", "customers"} <= names)
columns = {row.column_name: row.type_name for row in cursor.columns(table="orders", schema="public")}
check("SQLColumns", ("int8", "text", "numeric", "timestamptz"),
      tuple(columns[name] for name in ("order_id", "channel", "gross_amount", "completed_at")))
check("SQLPrimaryKeys", ["order_id"], [row.column_name for row in cursor.primaryKeys("orders", schema="public")])
check("SQLGetTypeInfo", True, len(cursor.getTypeInfo().fetchall()) > 10)
check("SQLGetInfo", "PostgreSQL", conn.getinfo(pyodbc.SQL_DBMS_NAME))
conn.close()
