-- A sum by a column of the lines of an order; an order counts once in each category that it touches.
-- asked
SELECT l.category, MEASURE(o.revenue_touching) AS revenue
FROM orders o JOIN order_lines l ON l.order_id = o.order_id
GROUP BY l.category
-- expert
SELECT category, sum(gross_amount) AS revenue
FROM (SELECT DISTINCT order_id, category FROM order_lines FINAL) AS l
INNER JOIN (SELECT order_id, gross_amount FROM orders FINAL WHERE NOT is_test) AS o ON o.order_id = l.order_id
GROUP BY category
