"""pandas by SQLAlchemy, over psycopg2 and psycopg: reading, chunks, reflection.

    use_pandas.py HOST PORT
"""
import sys
from decimal import Decimal

import pandas as pd
import sqlalchemy as sa

HOST, PORT = sys.argv[1], int(sys.argv[2])
QUESTION = "SELECT channel, SUM(revenue) AS revenue FROM orders GROUP BY channel ORDER BY channel"


def check(what, expected, got):
    if expected != got or type(expected) is not type(got):
        sys.exit(f"FAILED {what}: expected {expected!r}, got {got!r}")
    print("ok", what)


for driver in ("psycopg2", "psycopg"):
    engine = sa.create_engine(f"postgresql+{driver}://analyst@{HOST}:{PORT}/canon", connect_args={"connect_timeout": 10})
    with engine.connect() as conn:
        frame = pd.read_sql(sa.text(QUESTION), conn)
        check(f"{driver}: a frame", [["app", Decimal("78.00")], ["shop", Decimal("90.00")], ["web", Decimal("337.00")]],
              frame.values.tolist())
        frame = pd.read_sql(sa.text("SELECT completed_at, items FROM orders WHERE items > :least ORDER BY order_id"),
                            conn, params={"least": 0})
        check(f"{driver}: an integer column", "int", str(frame["items"].dtype)[:3].lower())
        streamed = conn.execution_options(stream_results=True, max_row_buffer=4)
        chunks = pd.read_sql(sa.text("SELECT order_id FROM orders ORDER BY order_id"), streamed, chunksize=4)
        check(f"{driver}: chunks of a server-side cursor", [4, 4, 3], [len(chunk) for chunk in chunks])
        chunks = pd.read_sql(sa.text("SELECT order_id FROM orders WHERE order_id > :least ORDER BY order_id"),
                             streamed, chunksize=4, params={"least": 5})
        check(f"{driver}: and of one with arguments", [4, 2], [len(chunk) for chunk in chunks])

    inspector = sa.inspect(engine)
    check(f"{driver}: schemas", True, "public" in inspector.get_schema_names())
    check(f"{driver}: tables", True, {"orders", "customers"} <= set(inspector.get_table_names(schema="public")))
    check(f"{driver}: the primary key", ["order_id"],
          inspector.get_pk_constraint("orders", schema="public")["constrained_columns"])
    columns = {column["name"]: str(column["type"]) for column in inspector.get_columns("orders", schema="public")}
    check(f"{driver}: the columns' types", ["BIGINT", "TEXT", "NUMERIC(18, 2)", "TIMESTAMP"],
          [columns[name] for name in ("order_id", "channel", "gross_amount", "completed_at")])
    orders = sa.Table("orders", sa.MetaData(), autoload_with=engine, schema="public", resolve_fks=False)
    with engine.connect() as conn:
        query = (sa.select(orders.c.channel, sa.func.sum(orders.c.revenue).label("r"))
                 .where(orders.c.channel.in_(["shop", "app"])).group_by(orders.c.channel).order_by(orders.c.channel))
        check(f"{driver}: a reflected table", [("app", Decimal("78.00")), ("shop", Decimal("90.00"))],
              [tuple(row) for row in conn.execute(query)])
        with conn.begin_nested():
            check(f"{driver}: in a savepoint", 11, conn.execute(sa.text("SELECT COUNT(*) FROM orders")).scalar())
        try:
            conn.execute(sa.text("SELECT no_such_column FROM orders"))
            sys.exit("FAILED an unknown column was answered")
        except sa.exc.ProgrammingError as error:
            check(f"{driver}: the error's class", "UndefinedColumn", type(error.orig).__name__)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        check(f"{driver}: autocommit", 11, conn.execute(sa.text("SELECT COUNT(*) FROM orders")).scalar())
    engine.dispose()
