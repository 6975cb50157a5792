-- A sum by day, under a filter of time.
-- asked
SELECT date_trunc('day', metric_time) AS day, MEASURE(revenue) AS revenue
FROM orders
WHERE metric_time >= '2026-03-01' AND metric_time < '2026-06-01'
GROUP BY 1
-- expert
SELECT toDate(completed_at, 'Europe/Berlin') AS day, sum(gross_amount - ifNull(discount_amount, 0)) AS revenue
FROM orders FINAL
WHERE order_status IN ('completed', 'refunded') AND NOT is_test
  AND completed_at >= toDateTime64('2026-03-01 00:00:00', 6, 'Europe/Berlin')
  AND completed_at < toDateTime64('2026-06-01 00:00:00', 6, 'Europe/Berlin')
GROUP BY day
