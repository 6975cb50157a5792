"""pgcli: what it asks for its completions, its backslash commands, and a run without a terminal.

    use_pgcli.py HOST PORT

Numbers are of the fixture "shop".
"""
import subprocess
import sys
from pathlib import Path

from pgcli.pgexecute import PGExecute
from pgspecial.main import PGSpecial

HOST, PORT = sys.argv[1], int(sys.argv[2])


def check(what, expected, got):
    if expected != got:
        sys.exit(f"FAILED {what}: expected {expected!r}, got {got!r}")
    print("ok", what)


def own(rows):
    """Of public and metrics, without what Postgres has besides."""
    return sorted({row for row in rows if row[0] in ("public", "metrics")})


executor = PGExecute("canon", "analyst", None, HOST, PORT, None, application_name="pgcli")
check("search path", ["pg_catalog", "public"], executor.search_path())
check("schemata", True, {"public", "metrics", "pg_catalog"} <= set(executor.schemata()))
check("tables", True, {("public", "orders"), ("metrics", "revenue")} <= set(own(executor.tables())))
check("views", [], own(executor.views()))
columns = [column for column in executor.table_columns() if column[:2] == ("public", "customers")]
check("columns", [("customer_id", "text"), ("country", "text"), ("tier", "text"), ("signed_up_on", "date")],
      [(column[2], column[3]) for column in columns])
check("databases", True, "canon" in executor.databases())
check("foreign keys", [("customers", "customer_id", "orders", "customer_id"),
                       ("customers", "customer_id", "visits", "customer_id"),
                       ("employees", "employee_id", "orders", "fulfilled_by_id"),
                       ("employees", "employee_id", "orders", "placed_by_id")],
      sorted((key.parenttable, key.parentcolumn, key.childtable, key.childcolumn)
             for key in executor.foreignkeys()))
functions = list(executor.functions())
upper = next(it for it in functions if it.func_name == "upper" and it.arg_types == ("text",))
check("functions", "text", upper.return_type)
check("types", True, isinstance(list(executor.datatypes()), list))
check("casing of words", [], list(executor.casing()))

special = PGSpecial()


def command(text):
    found = []
    for _, rows, _, status, _, success, _ in executor.run(text, special):
        if not success:
            sys.exit(f"FAILED {text}: {status}")
        found += [tuple(row) for row in rows or []]
    print("ok", text)
    return found


check("\\dt", True, ("public", "orders", "table", "canon") in command("\\dt"))
check("\\d orders", ("order_id", "bigint", "not null"),
      tuple(part.strip() for part in command("\\d orders")[0][:3]))
for text in ["\\d", "\\dn", "\\dt metrics.*", "\\d+ metrics.revenue", "\\dv", "\\di", "\\ds", "\\dm",
             "\\df upper", "\\dT", "\\du", "\\l", "\\db", "\\dp", "\\dD", "\\ddp", "\\dx", "\\dE"]:
    command(text)

program = Path(sys.executable).with_name("pgcli")
done = subprocess.run([program, "-h", HOST, "-p", str(PORT), "-U", "analyst", "-d", "canon", "-w", "--less-chatty",
                       "-c", "SELECT channel, SUM(revenue) FROM orders GROUP BY channel ORDER BY channel",
                       "-c", "\\d customers"], capture_output=True, text=True, timeout=60)
check("a run", 0, done.returncode)
check("its rows", True, all(part in done.stdout for part in ("web", "337.00", "shop", "signed_up_on")))
