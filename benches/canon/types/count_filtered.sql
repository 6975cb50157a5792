-- Two counts of which one has a filter.
-- asked
SELECT channel, MEASURE(orders_completed) AS orders,
       MEASURE(orders_completed) FILTER (WHERE gross_amount > 100) AS large
FROM orders
GROUP BY channel
-- expert
SELECT channel, count() AS orders, countIf(gross_amount > 100) AS large
FROM orders FINAL
WHERE order_status IN ('completed', 'refunded') AND NOT is_test
GROUP BY channel
