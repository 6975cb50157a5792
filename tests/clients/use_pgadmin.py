"""pgAdmin 4: its own server in this process, told of a server, and its tree walked through the REST
API that its browser uses: nodes, properties, statistics, dependencies and generated SQL of all kinds
of objects, and a query in its query tool.

    use_pgadmin.py HOST PORT

The paths that the tree has for the table "orders", and for what belongs to it, are all asked.
"""
import builtins
import json
import os
import re
import sys
import tempfile
import time
import warnings
from pathlib import Path

HOST, PORT = sys.argv[1], int(sys.argv[2])
started = time.monotonic()
warnings.simplefilter("ignore")
os.environ["HOME"] = tempfile.mkdtemp()
builtins.SERVER_MODE = False
sys.path.insert(0, str(next(Path(sys.prefix).glob("lib/python*/site-packages/pgadmin4"))))
import config  # noqa: E402, pgAdmin's own

config.MASTER_PASSWORD_REQUIRED = config.UPGRADE_CHECK_ENABLED = config.USE_OS_SECRET_STORAGE = False
config.CONSOLE_LOG_LEVEL = config.FILE_LOG_LEVEL = 50
from pgadmin import create_app  # noqa: E402

app = create_app()
app.config["WTF_CSRF_ENABLED"] = False
app.PGADMIN_INT_KEY, app.PGADMIN_RUNTIME = "", False
app.run_before_app_start()
client = app.test_client()


def call(method, path, **more):
    """The status and what came, as JSON where it is that."""
    answer = getattr(client, method)(path, **more)
    text = answer.get_data(as_text=True)
    try:
        return answer.status_code, json.loads(text)
    except ValueError:
        return answer.status_code, text


def good(method, path, **more):
    status, found = call(method, path, **more)
    if status != 200:
        sys.exit(f"FAILED {method} {path}: {status} {found}")
    return found


def check(what, expected, got):
    if expected != got:
        sys.exit(f"FAILED {what}: expected {expected!r}, got {got!r}")
    print("ok", what)


good("get", "/browser/")
good("post", "/browser/server/obj/1/", json={
    "name": "shop", "host": HOST, "port": PORT, "db": "canon", "username": "analyst", "password": "x",
    "gid": 1, "connect_now": True, "save_password": 0,
    "connection_params": [{"name": "sslmode", "value": "disable", "keyword": "sslmode"}]})
server = good("post", "/browser/server/connect/1/1", data={"password": "x"})["data"]
check("the server", ("canon", "analyst"), (server["db"], server["user"]["name"]))
database = server["did"]
good("post", f"/browser/database/connect/1/1/{database}")


def nodes(kind, *above):
    path = "/".join(str(part) for part in (1, 1, *above))
    found = good("get", f"/browser/{kind}/nodes/{path}/")
    found = found["data"] if isinstance(found, dict) else found
    return {node["label"]: int(node["_id"]) for node in found}


schemas = nodes("schema", database)
check("schemas", True, {"public", "metrics"} <= set(schemas))
public = schemas["public"]
tables = nodes("table", database, public)
check("tables", ["customers", "employees", "orders", "visits"], sorted(tables))
orders = tables["orders"]
columns = nodes("column", database, public, orders)
check("columns", True, {"order_id", "channel", "revenue"} <= set(columns))
keys = nodes("primary_key", database, public, orders)
check("primary key", ["orders_pkey"], list(keys))
foreign = nodes("foreign_key", database, public, orders)
check("foreign keys", ["orders_customer_id_fkey", "orders_fulfilled_by_id_fkey", "orders_placed_by_id_fkey"],
      sorted(foreign))
written = good("get", f"/browser/table/sql/1/1/{database}/{public}/{orders}")
check("SQL of a table", True, all(part in written for part in (
    "CREATE TABLE", "orders_pkey", "revenue numeric(38,2)", "where it was placed")))

# What PostgreSQL 15 answers with an error too: paths that take more than the tree gives them, and
# statements that need rights over it.
WITH_ERRORS = set(Path(__file__).with_name("pgadmin").joinpath("with_errors.txt").read_text().split())
# Each takes one object of its kind.
own_ids = {"column": 1, "primary_key": keys["orders_pkey"], "foreign_key": foreign["orders_customer_id_fkey"],
           "role": 10, "tablespace": 1663, "language": 13}
# What a click in the tree asks for; the others fill the boxes of dialogues.
COMMANDS = {"nodes", "obj", "children", "sql", "dependency", "dependent", "stats", "statistics",
            "select_sql", "get_types"}
known = {"gid": 1, "sid": 1, "did": database, "scid": public, "tid": orders}
asked, failures = 0, []
for rule in sorted({rule.rule for rule in app.url_map.iter_rules() if "GET" in rule.methods}):
    parts = rule.strip("/").split("/")
    names = re.findall(r"<(?:\w+:)?(\w+)>", rule)
    if parts[0] != "browser" or "sid" not in names or "delete" in rule or "vacuum" in rule:
        continue
    if parts[2] not in COMMANDS:
        continue
    given = dict(known)
    others = [name for name in names if name not in known]
    if len(others) == 1 and parts[1] in own_ids:
        given[others[0]] = own_ids[parts[1]]
    elif others:
        continue
    path = re.sub(r"<(?:\w+:)?(\w+)>", lambda name: str(given[name[1]]), rule)
    asked += 1
    try:
        status, found = call("get", path)
    except Exception as error:  # pgAdmin's own faults come through its test client
        status, found = 500, repr(error)
    if status != 200 and rule not in WITH_ERRORS:
        failures.append(f"{rule}: {status} {str(found)[:300]}")
if failures:
    sys.exit("FAILED paths:\n" + "\n".join(failures))
check("paths asked", True, asked > 150)


def rows(transaction):
    """What a statement of the query tool gave, once it is done."""
    for _ in range(200):
        code, found = call("get", f"/sqleditor/poll/{transaction}")
        if code != 200:
            return "Error", found["errormsg"]
        if found["data"]["status"] != "Busy":
            return found["data"]["status"], found["data"]["result"]
        time.sleep(0.05)
    sys.exit(f"FAILED transaction {transaction}: busy for too long")


QUERY_TOOL, GRID = 4321, 4322
good("post", f"/sqleditor/initialize/sqleditor/{QUERY_TOOL}/1/1/{database}",
     json={"user": "analyst", "role": None, "dbname": "canon", "is_new_tab": True})


def queried(sql):
    good("post", f"/sqleditor/query_tool/start/{QUERY_TOOL}", json={"sql": sql, "explain_plan": None})
    return rows(QUERY_TOOL)


check("a query", ("Success", [["app", "78.00"], ["shop", "90.00"], ["web", "337.00"]]),
      queried("SELECT channel, SUM(revenue) FROM orders GROUP BY channel ORDER BY channel"))
status, message = queried("SELECT no_such_column FROM orders")
check("an error", ("Error", True), (status, 'column "no_such_column" does not exist' in str(message)))
good("post", f"/sqleditor/initialize/viewdata/{GRID}/3/table/1/1/{database}/{tables['customers']}",
     json={"user": "analyst", "role": None, "dbname": "canon"})
good("get", f"/sqleditor/view_data/start/{GRID}")
status, shown = rows(GRID)
check("all rows of a table", ("Success", [["c1", "DE", "gold", "2024-02-29"]]), (status, [
    row[:4] for row in shown if row[0] == "c1"]))
check("completion", True, "customers" in str(good("post", f"/sqleditor/autocomplete/{QUERY_TOOL}",
                                                  json=["SELECT * FROM cust", "SELECT * FROM cust"])))
for part in ["activity", "locks", "prepared", "config"]:
    good("get", f"/dashboard/{part}/1")
for part in ["activity", "locks", "prepared"]:
    good("get", f"/dashboard/{part}/1/{database}")
charts = ",".join(["session_stats", "tps_stats", "ti_stats", "to_stats", "bio_stats"])
good("get", f"/dashboard/dashboard_stats/1?chart_names={charts}")
good("get", f"/dashboard/dashboard_stats/1/{database}?chart_names={charts}")
print(f"{asked} paths in {time.monotonic() - started:.0f} s")
