-- A distinct count by month.
-- asked
SELECT date_trunc('month', metric_time) AS month, MEASURE(visitors) AS visitors
FROM visits
WHERE metric_time >= '2026-01-01' AND metric_time < '2026-07-01'
GROUP BY 1
-- expert
SELECT toStartOfMonth(visited_at, 'Europe/Berlin') AS month, uniqExact(customer_id) AS visitors
FROM visits
WHERE NOT is_no_show AND NOT is_training
  AND visited_at >= toDateTime64('2026-01-01 00:00:00', 6, 'Europe/Berlin')
  AND visited_at < toDateTime64('2026-07-01 00:00:00', 6, 'Europe/Berlin')
GROUP BY month
