-- A count of events by month, under a filter of time that the primary key serves.
-- asked
SELECT date_trunc('month', metric_time) AS month, MEASURE(visits_served) AS visits
FROM visits
WHERE metric_time >= '2025-06-01' AND metric_time < '2026-06-01'
GROUP BY 1
-- expert
SELECT toStartOfMonth(visited_at, 'Europe/Berlin') AS month, count() AS visits
FROM visits
WHERE NOT is_no_show AND NOT is_training
  AND visited_at >= toDateTime64('2025-06-01 00:00:00', 6, 'Europe/Berlin')
  AND visited_at < toDateTime64('2026-06-01 00:00:00', 6, 'Europe/Berlin')
GROUP BY month
