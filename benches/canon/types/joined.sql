-- A sum by a column of another table.
-- asked
SELECT customer_country, MEASURE(revenue) AS revenue FROM orders GROUP BY customer_country
-- expert
SELECT c.country AS country, sum(o.gross_amount - ifNull(o.discount_amount, 0)) AS revenue
FROM orders AS o FINAL
LEFT JOIN (SELECT customer_id, country FROM customers FINAL) AS c ON c.customer_id = o.customer_id
WHERE o.order_status IN ('completed', 'refunded') AND NOT o.is_test
GROUP BY country
