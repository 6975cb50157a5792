"""psycopg 3: parameters, prepared statements, binary rows, streams, errors.

    use_psycopg.py HOST PORT
"""
import datetime
import sys
from decimal import Decimal

import psycopg
from psycopg.rows import dict_row

HOST, PORT = sys.argv[1], int(sys.argv[2])
BY_CHANNEL = [("app", Decimal("78.00")), ("shop", Decimal("90.00")), ("web", Decimal("337.00"))]
QUESTION = "SELECT channel, SUM(revenue) FROM orders GROUP BY channel ORDER BY channel"
UTC = datetime.timezone.utc


def check(what, expected, got):
    if expected != got or type(expected) is not type(got):
        sys.exit(f"FAILED {what}: expected {expected!r}, got {got!r}")
    print("ok", what)


def connect(**more):
    return psycopg.connect(host=HOST, port=PORT, user="analyst", dbname="canon", connect_timeout=10, **more)


with connect() as conn:
    check("groups", BY_CHANNEL, conn.execute(QUESTION).fetchall())
    total = "SELECT SUM(revenue) FROM orders WHERE channel = %s"
    check("a text parameter", (Decimal("90.00"),), conn.execute(total, ["shop"]).fetchone())
    check("a parameter that finds nothing", (None,), conn.execute(total, ["o'web\\"]).fetchone())
    check("NULL as a parameter", (None,), conn.execute(total, [None]).fetchone())
    check("named parameters", (2, Decimal("90.00")), conn.execute(
        "SELECT COUNT(*), SUM(revenue) FROM orders WHERE channel = %(c)s AND gross_amount > %(a)s",
        {"c": "shop", "a": Decimal("40.50")}).fetchone())
    check("an array parameter", (5,), conn.execute(
        "SELECT COUNT(*) FROM orders WHERE channel = ANY(%s)", [["shop", "app"]]).fetchone())
    check("an int parameter", (3,), conn.execute(
        "SELECT COUNT(*) FROM orders WHERE order_id <= %s", [3]).fetchone())
    check("a date parameter", (2,), conn.execute(
        "SELECT COUNT(*) FROM customers WHERE signed_up_on >= %s", [datetime.date(2025, 12, 31)]).fetchone())
    check("an instant as a parameter", (5,), conn.execute(
        "SELECT COUNT(*) FROM orders WHERE completed_at >= %s",
        [datetime.datetime(2026, 3, 4, tzinfo=UTC)]).fetchone())
    check("a wall-clock parameter", (6,), conn.execute(
        "SELECT COUNT(*) FROM orders WHERE metric_time >= %s", [datetime.datetime(2026, 3, 3)]).fetchone())
    check("a float parameter", (5,), conn.execute(
        "SELECT COUNT(*) FROM orders WHERE rating >= %s", [3.0]).fetchone())

    row = (9, "app", Decimal("61.00"), 4, 4.0, datetime.datetime(2026, 3, 29, 1, tzinfo=UTC),
           datetime.datetime(2026, 3, 29, 1, 30))
    one = ("SELECT order_id, channel, gross_amount, items, rating, completed_at, metric_time "
           "FROM orders WHERE order_id = %s")
    conn.execute("SET TimeZone = 'UTC'")
    for binary in (False, True):
        cursor = conn.cursor(binary=binary)
        check(f"types, binary={binary}", row, cursor.execute(one, [9]).fetchone())
        check(f"binary parameters, binary={binary}", (1,), cursor.execute(
            "SELECT COUNT(*) FROM orders WHERE order_id = %b AND channel = %b AND rating = %b",
            [9, "app", 4.0]).fetchone())
        check(f"NULL, binary={binary}", (None,), cursor.execute(
            "SELECT discount_amount FROM orders WHERE order_id = %s", [6]).fetchone())

    names = [column.name for column in conn.execute(QUESTION).description]
    check("names of columns", ["channel", "sum"], names)
    with conn.cursor(row_factory=dict_row) as cursor:
        check("rows as dicts", {"channel": "shop", "r": Decimal("90.00")}, cursor.execute(
            "SELECT channel, SUM(revenue) AS r FROM orders WHERE channel = 'shop' GROUP BY channel").fetchone())

    for turn in range(8):
        check(f"prepared, turn {turn}", (Decimal("90.00"),), conn.execute(total, ["shop"], prepare=True).fetchone())
    check("executemany", None, conn.cursor().executemany(total, [["shop"], ["app"]]))

    rows = "SELECT order_id FROM orders ORDER BY order_id"
    with conn.cursor("named") as named:
        named.itersize = 4
        check("a server-side cursor", list(range(1, 12)), [record[0] for record in named.execute(rows)])
    with conn.cursor("with arguments") as named:
        named.execute("SELECT order_id FROM orders WHERE order_id > %s AND channel = ANY(%s) ORDER BY 1", (8, ["app", "web", "shop"]))
        check("a named cursor with arguments", [(9,), (10,), (11,)], named.fetchall())
    with conn.cursor("scrolling", scrollable=True) as named:
        named.execute(rows)
        named.scroll(3)
        check("a scrolling cursor", [(4,), (5,)], named.fetchmany(2))
        named.scroll(-2)
        check("and back", (4,), named.fetchone())
    with conn.cursor() as cursor, cursor.copy("COPY (SELECT order_id, channel FROM orders ORDER BY order_id) "
                                              "TO STDOUT (FORMAT binary)") as copy:
        copy.set_types(["int8", "text"])
        check("a binary COPY", (11, (1, "web")), ((lambda r: (len(r), r[0]))(list(copy.rows()))))
    with conn.cursor() as cursor, cursor.copy("COPY (SELECT channel FROM orders WHERE order_id = 9) TO STDOUT") as copy:
        check("a COPY as text", [("app",)], list(copy.rows()))
    check("a stream", list(range(1, 12)), [order for (order,) in conn.cursor().stream(rows)])
    with conn.cursor() as cursor:
        cursor.execute(rows)
        check("fetchmany", [(1,), (2,), (3,), (4,)], cursor.fetchmany(4))
    with conn.pipeline():
        cursors = [conn.execute(total, [channel]) for channel in ("shop", "app", "web")]
    check("a pipeline", [Decimal("90.00"), Decimal("78.00"), Decimal("337.00")],
          [cursor.fetchone()[0] for cursor in cursors])
    conn.commit()

    try:
        conn.execute("SELECT no_such_column FROM orders")
        sys.exit("FAILED an unknown column was answered")
    except psycopg.errors.UndefinedColumn as error:
        check("the error's code", "42703", error.sqlstate)
    try:
        conn.execute("SELECT 1")
        sys.exit("FAILED a failed transaction went on")
    except psycopg.errors.InFailedSqlTransaction:
        print("ok a failed transaction refuses")
    conn.rollback()
    check("after ROLLBACK", BY_CHANNEL, conn.execute(QUESTION).fetchall())
    with conn.transaction():
        try:
            with conn.transaction():
                conn.execute("SELECT 1 / 0")
        except psycopg.errors.DivisionByZero:
            print("ok division by zero")
        check("after ROLLBACK TO a savepoint", (1,), conn.execute("SELECT 1").fetchone())

with connect(autocommit=True) as conn:
    for bad in ("SELEC 1", "SELECT * FROM no_such_table", "DELETE FROM customers WHERE customer_id = 'nobody'"):
        try:
            conn.execute(bad)
            sys.exit(f"FAILED {bad} was answered")
        except psycopg.Error as error:
            print("ok refused:", error.sqlstate, bad)
        check("and went on", BY_CHANNEL, conn.execute(QUESTION).fetchall())
