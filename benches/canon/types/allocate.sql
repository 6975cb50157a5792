-- A sum by a column of the lines of an order, divided by what the lines cost: to the cent, so that the
-- parts sum to the whole.
-- asked
SELECT l.category, MEASURE(o.revenue_allocated) AS revenue
FROM orders o JOIN order_lines l ON l.order_id = o.order_id
GROUP BY l.category
-- expert
SELECT category, sum(cents + if(line_id = greatest_line, rest, 0)) / 100 AS revenue
FROM
(
    SELECT category, line_id, cents, greatest_line,
        toInt64(gross_amount * 100) - sum(cents) OVER (PARTITION BY order_id) AS rest
    FROM
    (
        SELECT o.order_id AS order_id, o.gross_amount AS gross_amount, l.category AS category, l.line_id AS line_id,
            argMax(l.line_id, (l.line_amount, -l.line_id)) OVER w AS greatest_line,
            sum(l.line_amount) OVER w AS whole, count() OVER w AS lines,
            toInt64(round(if(whole != 0, toFloat64(o.gross_amount) * toFloat64(l.line_amount) / toFloat64(whole), toFloat64(o.gross_amount) / lines) * 100)) AS cents
        FROM (SELECT order_id, line_id, category, line_amount FROM order_lines FINAL) AS l
        INNER JOIN (SELECT order_id, gross_amount FROM orders FINAL WHERE NOT is_test) AS o ON o.order_id = l.order_id
        WINDOW w AS (PARTITION BY l.order_id)
    )
)
GROUP BY category
