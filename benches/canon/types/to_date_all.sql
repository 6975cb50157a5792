-- A sum of all time, for each month of a year.
-- asked
SELECT date_trunc('month', metric_time) AS month, MEASURE(revenue_so_far) AS revenue
FROM metrics.revenue_so_far
WHERE metric_time >= '2026-01-01'
GROUP BY 1
-- expert
SELECT month, revenue
FROM
(
    SELECT toStartOfMonth(completed_at, 'Europe/Berlin') AS month,
        sum(sum(gross_amount - ifNull(discount_amount, 0))) OVER (ORDER BY month) AS revenue
    FROM orders FINAL
    WHERE order_status IN ('completed', 'refunded') AND NOT is_test AND completed_at IS NOT NULL
    GROUP BY month
)
WHERE month >= '2026-01-01'
