-- A sum beside that of the year before, by month.
-- asked
SELECT date_trunc('month', metric_time) AS month, MEASURE(revenue) AS revenue, MEASURE(revenue_last_year) AS last_year
FROM orders
WHERE metric_time >= '2026-01-01' AND metric_time < '2026-07-01'
GROUP BY 1
-- expert
WITH toStartOfMonth(completed_at, 'Europe/Berlin') AS own
SELECT
    if(own < '2026-01-01', own + INTERVAL 1 YEAR, own) AS month,
    sumOrNullIf(gross_amount - ifNull(discount_amount, 0), own >= '2026-01-01') AS revenue,
    sumOrNullIf(gross_amount - ifNull(discount_amount, 0), own < '2026-01-01') AS last_year
FROM orders FINAL
WHERE order_status IN ('completed', 'refunded') AND NOT is_test
  AND (completed_at >= toDateTime64('2026-01-01 00:00:00', 6, 'Europe/Berlin')
       AND completed_at < toDateTime64('2026-07-01 00:00:00', 6, 'Europe/Berlin')
    OR completed_at >= toDateTime64('2025-01-01 00:00:00', 6, 'Europe/Berlin')
       AND completed_at < toDateTime64('2025-07-01 00:00:00', 6, 'Europe/Berlin'))
GROUP BY month
