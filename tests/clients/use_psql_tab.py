"""psql at a terminal: what the TAB key completes, from the catalogue's answers.

    use_psql_tab.py HOST PORT

psql says nothing of a completion query that fails: it completes nothing.
"""
import os
import sys
import tempfile

import pexpect

HOST, PORT = sys.argv[1], sys.argv[2]
inputrc = tempfile.NamedTemporaryFile("w", suffix=".inputrc")
inputrc.write("set bell-style none\nset page-completions off\nset completion-query-items 0\n"
              "set enable-bracketed-paste off\nset horizontal-scroll-mode off\n")
inputrc.flush()
# Of a terminal that knows no colours and no moves, with room for the longest line.
env = {**os.environ, "TERM": "dumb", "INPUTRC": inputrc.name, "PSQL_PAGER": "cat", "PSQL_HISTORY": "/dev/null"}
psql = pexpect.spawn("psql", ["-X", "-h", HOST, "-p", PORT, "-U", "analyst", "-d", "canon"], env=env,
                     encoding="utf-8", timeout=60, dimensions=(200, 500))
psql.expect_exact("canon=> ")
HOME, END = "\x01", "\x05"
marks = 0


def completed(line):
    """The line after a TAB, without quotes and backslashes, and what a second TAB lists. The line is
    made the argument of \\echo, which prints it."""
    global marks
    marks += 1
    # Of a line with a backslash the argument would end there.
    quote = "'" if "\\" in line else ""
    mark = f"\\echo {quote}<{marks}"
    psql.send(line + "\t\t" + HOME + mark + END + quote + "\r")
    psql.expect_exact(mark)
    listed = psql.before
    psql.expect(rf"\n<{marks}([^\r\n]*)\r")
    after = psql.match[1]
    psql.expect(r"canon=\*?> ")
    return after.replace("'", ""), set(listed.split())


def unique(line, expected):
    after, listed = completed(line)
    if after.rstrip() != expected.replace("\\", "").replace("'", ""):
        sys.exit(f"FAILED {line!r}: expected {expected!r}, got {after!r}, listed {sorted(listed)[:40]}")
    print("ok", line)


def several(line, *expected):
    _, listed = completed(line)
    lacking = set(expected) - listed
    if lacking:
        sys.exit(f"FAILED {line!r}: {sorted(lacking)} not among {sorted(listed)[:60]}")
    print("ok", line)


unique("SELECT * FROM custo", "SELECT * FROM customers")
unique("SELECT * FROM public.ord", "SELECT * FROM public.orders")
unique("SELECT * FROM pg_catalog.pg_clas", "SELECT * FROM pg_catalog.pg_class")
unique("SELECT * FROM information_schema.schemat", "SELECT * FROM information_schema.schemata")
several("SELECT * FROM ", "orders", "customers", "public.", "information_schema.")
several("TABLE ", "orders", "customers")
unique("SELECT * FROM orders WHERE chan", "SELECT * FROM orders WHERE channel")
several("SELECT * FROM orders WHERE c", "channel", "completed_at", "customer_id", "customer_country")
unique("\\d custo", "\\d customers")
unique("\\dt public.ord", "\\dt public.orders")
unique("\\dn publ", "\\dn public")
unique("\\df regexp_spl", "\\df regexp_split_to_")
several("\\df regexp_split_to_", "regexp_split_to_array", "regexp_split_to_table")
unique("\\dT int4mul", "\\dT int4multirange")
unique("\\di orders", "\\di orders_pkey")
unique("\\dv pg_catalog.pg_timezone_nam", "\\dv pg_catalog.pg_timezone_names")
unique("\\du analy", "\\du analyst")
unique("\\c cano", "\\c canon")
unique("\\db pg_def", "\\db pg_default")
unique("\\sf regexp_split_to_t", "\\sf regexp_split_to_table")
unique("\\da percentile_d", "\\da percentile_disc")
unique("\\dp custo", "\\dp customers")
unique("SHOW statement_t", "SHOW statement_timeout")
unique("SET statement_t", "SET statement_timeout TO")
several("SET search_path TO ", "public")
unique("SET TimeZone TO 'Europe/Berl", "SET TimeZone TO 'Europe/Berlin'")
unique("RESET extra_fl", "RESET extra_float_digits")
several("SET ROLE ", "analyst")
unique("ALTER TABLE custo", "ALTER TABLE customers")
unique("ALTER TABLE orders DROP CONSTRAINT orders_pk", "ALTER TABLE orders DROP CONSTRAINT orders_pkey")
unique("GRANT SELECT ON custo", "GRANT SELECT ON customers TO")
unique("GRANT SELECT ON customers TO analy", "GRANT SELECT ON customers TO analyst")
unique("EXPLAIN ANALYZE SELECT * FROM custo", "EXPLAIN ANALYZE SELECT * FROM customers")


def run(statement):
    psql.sendline(statement)
    psql.expect(r"\r\n(canon=[*>]>? ?)")


# What the session itself holds.
run("PREPARE by_channel (text) AS SELECT COUNT(*) FROM orders WHERE channel = $1;")
unique("EXECUTE by_", "EXECUTE by_channel")
unique("DEALLOCATE by_", "DEALLOCATE by_channel")
run("BEGIN;")
run("DECLARE all_orders CURSOR FOR SELECT order_id FROM orders;")
unique("CLOSE all_", "CLOSE all_orders")
unique("FETCH NEXT FROM all_", "FETCH NEXT FROM all_orders")
unique("MOVE FORWARD IN all_", "MOVE FORWARD IN all_orders")
run("ROLLBACK;")
psql.sendline("\\q")
psql.expect(pexpect.EOF)
