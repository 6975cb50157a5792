"""Apache Superset: a database by its URI, datasets, charts' data with time grains, filters and
limits, the values of filter boxes, SQL Lab; all through its REST API, in this process.

    use_superset.py HOST PORT

Numbers are of the fixture "shop". Against PostgreSQL, with plain tables of the same shape, it must
hold too, but for what says MEASURE.
"""
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

HOST, PORT = sys.argv[1], sys.argv[2]
started = time.monotonic()
home = Path(tempfile.mkdtemp())
shutil.copy(Path(sys.prefix).parent / "superset.db", home)
os.environ["SUPERSET_HOME"] = str(home)
os.environ["SUPERSET_CONFIG_PATH"] = str(Path(__file__).parent / "superset" / "superset_config.py")

from superset.app import create_app  # noqa: E402, it reads the variables above

client = create_app().test_client()
login = {"username": "admin", "password": "admin", "provider": "db", "refresh": False}
token = client.post("/api/v1/security/login", json=login).json["access_token"]


def call(method, path, **more):
    answer = getattr(client, method)(path, headers={"Authorization": f"Bearer {token}"}, **more)
    if answer.status_code >= 300:
        sys.exit(f"FAILED {method} {path} {more}: {answer.status_code} {answer.get_data(as_text=True)}")
    return answer.json


def check(what, expected, got):
    if expected != got:
        sys.exit(f"FAILED {what}: expected {expected!r}, got {got!r}")
    print("ok", what)


def measure(column, aggregate):
    return {"expressionType": "SIMPLE", "column": {"column_name": column}, "aggregate": aggregate,
            "label": f"{aggregate}({column})"}


def sql(expression, label):
    return {"expressionType": "SQL", "sqlExpression": expression, "label": label}


def period(column, grain):
    return {"columnType": "BASE_AXIS", "expressionType": "SQL", "sqlExpression": column,
            "label": column, "timeGrain": grain}


def chart(dataset, **query):
    query = {"row_limit": 1000, "filters": [], "metrics": [], "columns": [], "extras": {}} | query
    asked = {"datasource": {"id": dataset, "type": "table"}, "queries": [query], "force": True,
             "result_format": "json", "result_type": "full"}
    return call("post", "/api/v1/chart/data", json=asked)["result"][0]["data"]


def rows(data, *columns):
    """Sorted by their texts, since groups come in any order; days of times."""
    def shown(value):
        is_time = isinstance(value, (int, float)) and abs(value) > 1e11
        return time.strftime("%Y-%m-%d %H:%M", time.gmtime(value / 1000)) if is_time else value
    return sorted((tuple(shown(row[column]) for column in columns) for row in data), key=str)


uri = f"postgresql+psycopg2://analyst@{HOST}:{PORT}/canon"
call("post", "/api/v1/database/test_connection/", json={"sqlalchemy_uri": uri, "database_name": "shop"})
database = call("post", "/api/v1/database/",
                json={"database_name": "shop", "sqlalchemy_uri": uri, "expose_in_sqllab": True})["id"]
schemas = call("get", f"/api/v1/database/{database}/schemas/")["result"]
check("schemas", True, {"public", "metrics", "information_schema"} <= set(schemas))
tables = call("get", f"/api/v1/database/{database}/tables/?q=(schema_name:public)")["result"]
check("tables", ["customers", "employees", "orders", "visits"], sorted(it["value"] for it in tables))
described = call("get", f"/api/v1/database/{database}/table_metadata/?name=orders&schema=public")
check("foreign keys", ["customers", "employees", "employees"],
      sorted(key["referred_table"] for key in described["foreignKeys"]))
check("comments", "where it was placed",
      next(it["comment"] for it in described["columns"] if it["name"] == "channel"))


def dataset(schema, table):
    asked = {"database": database, "schema": schema, "table_name": table}
    return call("post", "/api/v1/dataset/", json=asked)


orders, revenue = dataset("public", "orders"), dataset("metrics", "revenue")
types = {it["column_name"]: (it["type"], it["is_dttm"]) for it in revenue["data"]["columns"]}
check("types", [("TIMESTAMP WITHOUT TIME ZONE", True), ("TEXT", False), ("NUMERIC(38, 2)", False)],
      [types[name] for name in ("metric_time", "channel", "revenue")])
orders, revenue = orders["id"], revenue["id"]

TOTAL = measure("revenue", "SUM")
BY_CHANNEL = [("app", 78.0), ("shop", 90.0), ("web", 337.0)]
check("groups", BY_CHANNEL, rows(chart(orders, columns=["channel"], metrics=[TOTAL],
      orderby=[[TOTAL, False]]), "channel", "SUM(revenue)"))
check("aggregates of columns", [("app", 3, 3, 4), ("shop", 2, 2, 1), ("web", 6, 6, 9)], rows(
    chart(orders, columns=["channel"], metrics=["count", measure("order_id", "COUNT_DISTINCT"),
                                                measure("items", "MAX")]),
    "channel", "count", "COUNT_DISTINCT(order_id)", "MAX(items)"))
MONTHS = [("2026-01-01 00:00", 101.0), ("2026-02-01 00:00", 250.0), ("2026-03-01 00:00", 154.0)]
SINCE = [{"col": "metric_time", "op": "TEMPORAL_RANGE", "val": "2026-01-01 : 2026-04-01"}]


def by(grain, filters=SINCE, **more):
    found = chart(revenue, columns=[period("metric_time", grain)], metrics=[TOTAL], filters=filters,
                  extras={"time_grain_sqla": grain}, **more)
    return rows([row for row in found if row["SUM(revenue)"] is not None], "metric_time", "SUM(revenue)")


check("by month", MONTHS, by("P1M"))
check("by quarter", [("2026-01-01 00:00", 505.0)], by("P3M"))
check("by year", [("2026-01-01 00:00", 505.0)], by("P1Y"))
check("by week", ("2026-01-05 00:00", 101.0), by("P1W")[0])
check("by day", ("2026-02-01 00:00", 50.0), by("P1D")[1])
check("by hour", ("2026-03-29 03:00", 61.0), by("PT1H")[-2])
check("a range of time", [("2026-02-01 00:00", 250.0)],
      by("P1M", [{"col": "metric_time", "op": "TEMPORAL_RANGE", "val": "2026-02-01 : 2026-03-01"}]))
check("a range of instants", [("2026-02-01 00:00", 200.0)],
      by("P1M", [{"col": "metric_instant", "op": "TEMPORAL_RANGE", "val": "2026-02-01 : 2026-02-28"}]))
check("a running total", [101.0, 351.0, 505.0], [total for _, total in by("P1M", post_processing=[
    {"operation": "cum", "options": {"operator": "sum", "columns": {"SUM(revenue)": "SUM(revenue)"}}}],
    orderby=[[period("metric_time", "P1M"), True]])])
series = chart(revenue, columns=[period("metric_time", "P1M"), "channel"], metrics=[TOTAL], filters=SINCE,
               series_columns=["channel"], series_limit=1, series_limit_metric=TOTAL,
               extras={"time_grain_sqla": "P1M"})
check("a series limit", [("web", 101.0), ("web", 200.0), ("web", 36.0)],
      rows(series, "channel", "SUM(revenue)"))
filters = [{"col": "channel", "op": "IN", "val": ["web", "app"]},
           {"col": "status", "op": "NOT IN", "val": ["open", "cancelled"]},
           {"col": "customer_country", "op": "IS NOT NULL"}, {"col": "items", "op": ">=", "val": 3}]
check("filters", [("app", 61.0), ("web", 301.0)], rows(
    chart(orders, columns=["channel"], metrics=[TOTAL], filters=filters), "channel", "SUM(revenue)"))
check("HAVING and one's own WHERE", [("web", 337.0)], rows(
    chart(orders, columns=["channel"], metrics=[TOTAL],
          extras={"having": "SUM(revenue) > 100", "where": "status <> 'x'"}), "channel", "SUM(revenue)"))
check("a search", [("web", 6)], rows(chart(orders, columns=["channel"], metrics=["count"],
      filters=[{"col": "channel", "op": "ILIKE", "val": "%W%"}]), "channel", "count"))
check("raw records", [(4, "cancelled", 307.0), (10, "open", 83.0)], rows(
    chart(orders, columns=["order_id", "status", "gross_amount"], row_limit=20,
          filters=[{"col": "status", "op": "IN", "val": ["open", "cancelled"]}]),
    "order_id", "status", "gross_amount")[::-1])
check("a count of rows", [(3,)], rows(chart(orders, columns=["channel"], metrics=[TOTAL],
      is_rowcount=True), "rowcount"))
values = call("get", f"/api/v1/datasource/table/{orders}/column/channel/values/")["result"]
check("values of a filter box", ["app", "shop", "web"], sorted(values))


def lab(text):
    asked = {"database_id": database, "schema": "public", "sql": text, "runAsync": False,
             "queryLimit": 1000, "client_id": f"c{time.monotonic_ns() % 10**9}"}
    return call("post", "/api/v1/sqllab/execute/", json=asked)["data"]


check("SQL Lab", BY_CHANNEL, rows(lab(
    "SELECT channel, sum(revenue) AS total FROM orders GROUP BY channel"), "channel", "total"))
check("a preview", 11, len(lab("SELECT * FROM metrics.revenue LIMIT 100")))
check("a preview of what can't be grouped so", 11,
      len(lab("SELECT * FROM metrics.restricted_revenue LIMIT 100")))
check("two statements", [{"one": 1}], lab("SELECT count(*) FROM orders; SELECT 1 AS one"))
if "segments" in schemas:
    check("a ratio", [("app", 39.0), ("shop", 45.0), ("web", 84.25)], rows(
        chart(orders, columns=["channel"], metrics=[sql("MEASURE(average_order_value)", "value")]),
        "channel", "value"))
    check("a share of the total", [("app", 0.1545), ("shop", 0.1782), ("web", 0.6673)], rows(
        lab("SELECT channel, ROUND(MEASURE(revenue) / MEASURE(revenue) OVER (), 4) AS share "
            "FROM orders GROUP BY channel"), "channel", "share"))
shutil.rmtree(home)
print(f"in {time.monotonic() - started:.0f} s")
