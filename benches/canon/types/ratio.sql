-- A ratio of two sums, by an attribute.
-- asked
SELECT channel, MEASURE(average_order_value) AS value FROM orders GROUP BY channel
-- expert
SELECT channel, toFloat64(sum(gross_amount - ifNull(discount_amount, 0))) / count() AS value
FROM orders FINAL
WHERE order_status IN ('completed', 'refunded') AND NOT is_test
GROUP BY channel
