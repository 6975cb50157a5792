-- A median by an attribute.
-- asked
SELECT channel, MEASURE(median_order_value) AS median FROM orders GROUP BY channel
-- expert
SELECT channel, quantileExactInclusive(0.5)(toFloat64(gross_amount - ifNull(discount_amount, 0))) AS median
FROM orders FINAL
WHERE order_status IN ('completed', 'refunded') AND NOT is_test
GROUP BY channel
