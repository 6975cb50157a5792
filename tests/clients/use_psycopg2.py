"""psycopg2: simple queries, named cursors, COPY, savepoints, errors; as Superset, pandas and Django use it.

    use_psycopg2.py HOST PORT
"""
import datetime
import io
import sys
from decimal import Decimal

import psycopg2
import psycopg2.errors
import psycopg2.extensions
import psycopg2.extras

HOST, PORT = sys.argv[1], int(sys.argv[2])
BY_CHANNEL = [("app", Decimal("78.00")), ("shop", Decimal("90.00")), ("web", Decimal("337.00"))]
QUESTION = "SELECT channel, SUM(revenue) FROM orders GROUP BY channel ORDER BY channel"
ORDERS = "SELECT order_id FROM orders ORDER BY order_id"


def check(what, expected, got):
    if expected != got or type(expected) is not type(got):
        sys.exit(f"FAILED {what}: expected {expected!r}, got {got!r}")
    print("ok", what)


def connect():
    return psycopg2.connect(host=HOST, port=PORT, user="analyst", dbname="canon", connect_timeout=10)


conn = connect()
cursor = conn.cursor()
cursor.execute(QUESTION)
check("groups", BY_CHANNEL, cursor.fetchall())
check("the columns", ["channel", "sum"], [column.name for column in cursor.description])
check("their types", [25, 1700], [column.type_code for column in cursor.description])
cursor.execute("SELECT SUM(revenue) FROM orders WHERE channel = %s AND gross_amount > %s", ("shop", Decimal("40.50")))
check("parameters", (Decimal("90.00"),), cursor.fetchone())
cursor.execute("SELECT COUNT(*) FROM orders WHERE channel = ANY(%s)", (["shop", "app"],))
check("an array", (5,), cursor.fetchone())
cursor.execute("SELECT COUNT(*) FROM orders WHERE completed_at >= %s",
               (datetime.datetime(2026, 3, 4, tzinfo=datetime.timezone.utc),))
check("an instant", (5,), cursor.fetchone())
cursor.execute("SELECT COUNT(*) FROM orders WHERE channel = %s", ("o'web\\",))
check("a value with a quote and a backslash", (0,), cursor.fetchone())
check("the status", psycopg2.extensions.TRANSACTION_STATUS_INTRANS, conn.get_transaction_status())

with conn.cursor("named") as named:
    named.itersize = 4
    named.execute(ORDERS)
    check("a named cursor, one row", (1,), named.fetchone())
    check("a few", [(2,), (3,)], named.fetchmany(2))
    check("the rest, four at a time", [(number,) for number in range(4, 12)], list(named))
with conn.cursor("scrolling", scrollable=True) as named:
    named.execute(ORDERS)
    named.scroll(5)
    check("after a step of five", (6,), named.fetchone())
    named.scroll(-3)
    check("and three back", (4,), named.fetchone())
    named.scroll(10, mode="absolute")
    check("an absolute place", (11,), named.fetchone())
with conn.cursor("forward", scrollable=False) as named:
    named.execute(ORDERS)
    named.scroll(2)
    check("forward only", (3,), named.fetchone())
conn.commit()

held = conn.cursor("held", withhold=True)
held.execute(ORDERS)
conn.commit()
check("a cursor after its transaction", [(1,), (2,)], held.fetchmany(2))
held.close()
conn.commit()

out = io.StringIO()
cursor.copy_expert("COPY (SELECT channel, SUM(revenue) AS revenue FROM orders GROUP BY channel ORDER BY channel) "
                   "TO STDOUT WITH CSV HEADER", out)
check("copy_expert", "channel,revenue\napp,78.00\nshop,90.00\nweb,337.00\n", out.getvalue())
out = io.StringIO()
cursor.copy_to(out, "customers", columns=("customer_id", "country"), null="-")
check("copy_to", 5, len(out.getvalue().splitlines()))

cursor.execute("SAVEPOINT one")
try:
    cursor.execute("SELECT no_such_column FROM orders")
    sys.exit("FAILED an unknown column was answered")
except psycopg2.errors.UndefinedColumn as error:
    check("the error's code and place", ("42703", "8"), (error.pgcode, error.diag.statement_position))
try:
    cursor.execute("SELECT 1")
    sys.exit("FAILED a failed transaction went on")
except psycopg2.errors.InFailedSqlTransaction:
    print("ok a failed transaction refuses")
cursor.execute("ROLLBACK TO SAVEPOINT one")
cursor.execute(QUESTION)
check("after ROLLBACK TO", BY_CHANNEL, cursor.fetchall())
conn.rollback()

conn.set_session(readonly=True, autocommit=True, isolation_level="REPEATABLE READ")
cursor.execute("SHOW transaction_isolation")
check("set_session", ("repeatable read",), cursor.fetchone())
rows = conn.cursor(cursor_factory=psycopg2.extras.RealDictCursor)
rows.execute("SELECT customer_id, signed_up_on FROM customers WHERE signed_up_on = %s", (datetime.date(2024, 2, 29),))
check("a dictionary", datetime.date(2024, 2, 29), rows.fetchone()["signed_up_on"])
psycopg2.extras.register_uuid()
cursor.execute("SELECT 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid::text")
check("a uuid as text", ("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",), cursor.fetchone())
conn.set_client_encoding("UTF8")
check("the encoding", "UTF8", conn.encoding)
check("the server's version is told", True, conn.server_version >= 150000)
conn.reset()
conn.close()
