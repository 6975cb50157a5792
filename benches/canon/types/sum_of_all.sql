-- A sum by an attribute, over all rows.
-- asked
SELECT channel, MEASURE(revenue) AS revenue FROM orders GROUP BY channel
-- expert
SELECT channel, sum(gross_amount - ifNull(discount_amount, 0)) AS revenue
FROM orders FINAL
WHERE order_status IN ('completed', 'refunded') AND NOT is_test
GROUP BY channel
