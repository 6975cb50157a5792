"""polars: frames by URI over ADBC and connectorx, and from connections of psycopg and SQLAlchemy.

    use_polars.py HOST PORT
"""
import datetime
import sys
from decimal import Decimal

import polars as pl
import psycopg
import sqlalchemy as sa

HOST, PORT = sys.argv[1], int(sys.argv[2])
URL = f"postgresql://analyst@{HOST}:{PORT}/canon"
QUESTION = ("SELECT channel, SUM(revenue) AS revenue, COUNT(*) AS n FROM orders "
            "GROUP BY channel ORDER BY channel")
TYPES = ("SELECT order_id, channel, items, rating, gross_amount, discount_amount, metric_time, completed_at "
         "FROM orders ORDER BY order_id")
PLACED = datetime.datetime(2026, 3, 29, 1, 30)
COMPLETED = datetime.datetime(2026, 3, 29, 1, tzinfo=datetime.timezone.utc)


def check(what, expected, got):
    if expected != got:
        sys.exit(f"FAILED {what}: expected {expected!r}, got {got!r}")
    print("ok", what)


def numbers(rows):
    """Amounts as decimals: drivers give them as texts, floats or decimals."""
    return [(name, Decimal(str(amount)).quantize(Decimal("0.01")), count) for name, amount, count in rows]


GROUPS = [("app", Decimal("78.00"), 3), ("shop", Decimal("90.00"), 2), ("web", Decimal("337.00"), 6)]


def check_types(what, frame):
    check(f"{what}: rows", 11, frame.height)
    check(f"{what}: integers", (pl.Int64, pl.Int32), (frame.schema["order_id"], frame.schema["items"]))
    check(f"{what}: text, float", (pl.String, pl.Float64), (frame.schema["channel"], frame.schema["rating"]))
    row = frame.filter(pl.col("order_id") == 9).row(0, named=True)
    check(f"{what}: values", (9, "app", 4, 4.0, PLACED),
          tuple(row[name] for name in ("order_id", "channel", "items", "rating", "metric_time")))
    check(f"{what}: an amount", Decimal("61.00"), Decimal(str(row["gross_amount"])).quantize(Decimal("0.01")))
    check(f"{what}: an instant", COMPLETED, row["completed_at"])
    check(f"{what}: NULLs", 2, frame["discount_amount"].null_count())


for engine in ("adbc", "connectorx"):
    frame = pl.read_database_uri(QUESTION, URL, engine=engine)
    check(f"{engine}: groups", GROUPS, numbers(frame.rows()))
    check_types(engine, pl.read_database_uri(TYPES, URL, engine=engine))
    frame = pl.read_database_uri("SELECT order_id, channel FROM orders WHERE order_id < 0", URL, engine=engine)
    check(f"{engine}: no rows", ((0, 2), ["order_id", "channel"]), (frame.shape, frame.columns))
    frame = pl.read_database_uri("SELECT signed_up_on FROM customers WHERE customer_id = 'c1'", URL, engine=engine)
    check(f"{engine}: a date", ({"signed_up_on": pl.Date}, [(datetime.date(2024, 2, 29),)]),
          (dict(frame.schema), frame.rows()))
    try:
        pl.read_database_uri("SELECT no_such_column FROM orders", URL, engine=engine)
        sys.exit(f"FAILED {engine}: an unknown column was answered")
    except Exception as error:  # each engine has errors of its own
        check(f"{engine}: an error", True, "no_such_column" in str(error))
parts = pl.read_database_uri("SELECT order_id FROM orders", URL, engine="connectorx", partition_on="order_id",
                             partition_num=3)
check("connectorx in three parts", list(range(1, 12)), sorted(parts["order_id"]))
parts = pl.read_database_uri([f"SELECT order_id FROM orders WHERE channel = '{channel}'" for channel in ("app", "shop")],
                             URL, engine="connectorx")
check("connectorx, two queries", [2, 4, 5, 7, 9], sorted(parts["order_id"]))

with psycopg.connect(host=HOST, port=PORT, user="analyst", dbname="canon") as conn:
    check("psycopg: groups", GROUPS, pl.read_database(QUESTION, conn).rows())
    check_types("psycopg", pl.read_database(TYPES, conn, schema_overrides={"items": pl.Int32}))
    frame = pl.read_database("SELECT COUNT(*) AS n FROM orders WHERE channel = %(channel)s", conn,
                             execute_options={"params": {"channel": "shop"}})
    check("psycopg: a parameter", [(2,)], frame.rows())
engine = sa.create_engine(f"postgresql+psycopg://analyst@{HOST}:{PORT}/canon")
with engine.connect() as conn:
    check("SQLAlchemy: groups", GROUPS, pl.read_database(QUESTION, conn).rows())
    check_types("SQLAlchemy", pl.read_database(TYPES, conn, schema_overrides={"items": pl.Int32}))
    batches = pl.read_database("SELECT order_id FROM orders ORDER BY order_id", conn, iter_batches=True, batch_size=4)
    check("SQLAlchemy in batches", [4, 4, 3], [batch.height for batch in batches])
