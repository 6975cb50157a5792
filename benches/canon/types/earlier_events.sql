-- Events of the year before, whose primary key serves a filter of time.
-- asked
SELECT date_trunc('month', metric_time) AS month, MEASURE(visits_last_year) AS visits
FROM metrics.visits_last_year
WHERE metric_time >= '2026-03-01' AND metric_time < '2026-05-01'
GROUP BY 1
-- expert
SELECT toStartOfMonth(visited_at, 'Europe/Berlin') + INTERVAL 1 YEAR AS month, count() AS visits
FROM visits
WHERE NOT is_no_show AND NOT is_training
  AND visited_at >= toDateTime64('2025-03-01 00:00:00', 6, 'Europe/Berlin')
  AND visited_at < toDateTime64('2025-05-01 00:00:00', 6, 'Europe/Berlin')
GROUP BY month
