-- Each channel's share of the whole.
-- asked
SELECT channel, MEASURE(revenue) / MEASURE(revenue) OVER () AS share FROM orders GROUP BY channel
-- expert
SELECT channel, toFloat64(revenue) / sum(revenue) OVER () AS share
FROM
(
    SELECT channel, sum(gross_amount - ifNull(discount_amount, 0)) AS revenue
    FROM orders FINAL
    WHERE order_status IN ('completed', 'refunded') AND NOT is_test
    GROUP BY channel
)
