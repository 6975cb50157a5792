"""asyncpg: everything prepared and binary; cursors, errors, the pool's reset.

    use_asyncpg.py HOST PORT
"""
import asyncio
import datetime
import io
import sys
from decimal import Decimal

import asyncpg

HOST, PORT = sys.argv[1], int(sys.argv[2])
BY_CHANNEL = [("app", Decimal("78.00")), ("shop", Decimal("90.00")), ("web", Decimal("337.00"))]
QUESTION = "SELECT channel, SUM(revenue) FROM orders GROUP BY channel ORDER BY channel"
TOTAL = "SELECT SUM(revenue) FROM orders WHERE channel = $1"
UTC = datetime.timezone.utc
PLACE = {"host": HOST, "port": PORT, "user": "analyst", "database": "canon", "timeout": 10}


def check(what, expected, got):
    if expected != got or type(expected) is not type(got):
        sys.exit(f"FAILED {what}: expected {expected!r}, got {got!r}")
    print("ok", what)


def tuples(records):
    return [tuple(record) for record in records]


async def main():
    conn = await asyncpg.connect(**PLACE)
    check("groups", BY_CHANNEL, tuples(await conn.fetch(QUESTION)))
    check("a text parameter", Decimal("90.00"), await conn.fetchval(TOTAL, "shop"))
    check("a parameter that finds nothing", None, await conn.fetchval(TOTAL, "o'web\\"))
    check("several parameters", (2, Decimal("90.00")), tuple(await conn.fetchrow(
        "SELECT COUNT(*), SUM(revenue) FROM orders WHERE channel = $1 AND gross_amount > $2 AND order_id < $3",
        "shop", Decimal("40.50"), 8)))
    check("an array parameter", 5, await conn.fetchval(
        "SELECT COUNT(*) FROM orders WHERE channel = ANY($1)", ["shop", "app"]))
    check("an array parameter of bigints", 3, await conn.fetchval(
        "SELECT COUNT(*) FROM orders WHERE order_id = ANY($1)", [1, 2, 3]))
    check("a cast array parameter", 3, await conn.fetchval(
        "SELECT COUNT(*) FROM orders WHERE order_id = ANY($1::int[])", [1, 2, 3]))
    check("an array parameter of numerics", 1, await conn.fetchval(
        "SELECT COUNT(*) FROM orders WHERE gross_amount = ANY($1) AND order_id = 9", [Decimal("61.00"), Decimal("0.125")]))
    check("a period of a parameter", 1, await conn.fetchval(
        "SELECT COUNT(*) FROM orders WHERE ordered_at >= $1 AND ordered_at < $1 + interval '1 hour'",
        await conn.fetchval("SELECT ordered_at FROM orders WHERE order_id = 9")))
    check("arrays", ([1, 2], [True, None], [datetime.date(2026, 1, 2)]), tuple(await conn.fetchrow(
        "SELECT '{1,2}'::int[], ARRAY[true, NULL], ARRAY[DATE '2026-01-02']")))
    check("an array of rows' values", [1, 2, 3], await conn.fetchval(
        "SELECT array_agg(order_id ORDER BY order_id) FROM orders WHERE order_id < 4"))
    check("an instant as a parameter", 5, await conn.fetchval(
        "SELECT COUNT(*) FROM orders WHERE completed_at >= $1", datetime.datetime(2026, 3, 4, tzinfo=UTC)))
    check("a wall-clock parameter", 6, await conn.fetchval(
        "SELECT COUNT(*) FROM orders WHERE metric_time >= $1", datetime.datetime(2026, 3, 3)))
    check("a date parameter", 2, await conn.fetchval(
        "SELECT COUNT(*) FROM customers WHERE signed_up_on >= $1", datetime.date(2025, 12, 31)))
    check("a limit", 2, len(await conn.fetch("SELECT order_id FROM orders ORDER BY order_id LIMIT $1", 2)))
    check("a cast parameter", 7, await conn.fetchval("SELECT $1::int + 3", 4))
    check("types", (9, "app", Decimal("61.00"), 4, 4.0, datetime.datetime(2026, 3, 29, 1, tzinfo=UTC),
                    datetime.datetime(2026, 3, 29, 1, 30), None), tuple(await conn.fetchrow(
        "SELECT order_id, channel, gross_amount, items, rating, completed_at, metric_time, "
        "CASE WHEN order_id = 9 THEN NULL ELSE discount_amount END FROM orders WHERE order_id = 9")))

    statement = await conn.prepare(TOTAL)
    check("the parameter's type", ["text"], [kind.name for kind in statement.get_parameters()])
    check("the column's type", ["numeric"], [column.type.name for column in statement.get_attributes()])
    for turn, (channel, amount) in enumerate(BY_CHANNEL * 3):
        check(f"prepared, turn {turn}", amount, await statement.fetchval(channel))

    async with conn.transaction():
        orders = [record[0] async for record in conn.cursor(
            "SELECT order_id FROM orders ORDER BY order_id", prefetch=4)]
        check("a cursor of 4 and 4", list(range(1, 12)), orders)
        cursor = await conn.cursor("SELECT order_id FROM orders ORDER BY order_id")
        check("rows at a time", [(1,), (2,), (3,)], tuples(await cursor.fetch(3)))
        check("and one", (4,), tuple(await cursor.fetchrow()))
        check("another statement between", Decimal("90.00"), await conn.fetchval(TOTAL, "shop"))
        check("and the rest", 7, len(await cursor.fetch(100)))

        moved = await conn.cursor("SELECT order_id FROM orders ORDER BY order_id")
        await moved.forward(4)
        check("moved forward", (5,), tuple(await moved.fetchrow()))

    out = io.BytesIO()
    check("the tag of a COPY", "COPY 11", await conn.copy_from_query(
        "SELECT order_id FROM orders ORDER BY order_id", output=out, format="csv"))
    check("a COPY of a query", [str(number) for number in range(1, 12)], out.getvalue().decode().split())
    out = io.BytesIO()
    await conn.copy_from_table("customers", columns=["customer_id", "country"], output=out)
    check("a COPY of a relation", 5, len(out.getvalue().splitlines()))

    try:
        await conn.fetch("SELECT no_such_column FROM orders")
        sys.exit("FAILED an unknown column was answered")
    except asyncpg.UndefinedColumnError as error:
        check("the error's code", "42703", error.sqlstate)
    check("after an error", BY_CHANNEL, tuples(await conn.fetch(QUESTION)))
    try:
        async with conn.transaction():
            await conn.fetchval("SELECT 1 / 0")
        sys.exit("FAILED 1 / 0 was answered")
    except asyncpg.DivisionByZeroError:
        print("ok division by zero in a transaction")
    check("after the transaction", BY_CHANNEL, tuples(await conn.fetch(QUESTION)))
    await conn.close()

    async with asyncpg.create_pool(min_size=1, max_size=4, **PLACE) as pool:
        answers = await asyncio.gather(*(pool.fetchval(TOTAL, channel) for channel, _ in BY_CHANNEL * 5))
        check("a pool", [amount for _, amount in BY_CHANNEL * 5], answers)


asyncio.run(main())
