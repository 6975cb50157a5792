-- A sum over four weeks, for each day of a month.
-- asked
SELECT date_trunc('day', metric_time) AS day, MEASURE(revenue_28_days) AS revenue
FROM metrics.revenue_28_days
WHERE metric_time >= '2026-03-01' AND metric_time < '2026-04-01'
GROUP BY 1
-- expert
SELECT day, revenue
FROM
(
    SELECT toDate(completed_at, 'Europe/Berlin') AS day,
        sum(sum(gross_amount - ifNull(discount_amount, 0))) OVER (ORDER BY day RANGE BETWEEN 27 PRECEDING AND CURRENT ROW) AS revenue
    FROM orders FINAL
    WHERE order_status IN ('completed', 'refunded') AND NOT is_test
      AND completed_at >= toDateTime64('2026-02-02 00:00:00', 6, 'Europe/Berlin')
      AND completed_at < toDateTime64('2026-04-01 00:00:00', 6, 'Europe/Berlin')
    GROUP BY day
)
WHERE day >= '2026-03-01'
