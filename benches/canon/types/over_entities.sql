-- A ratio of metrics of two tables, by month.
-- asked
SELECT date_trunc('month', metric_time) AS month, MEASURE(orders_per_visit) AS ratio
FROM metrics.orders_per_visit
WHERE metric_time >= '2026-01-01' AND metric_time < '2026-07-01'
GROUP BY 1
-- expert
SELECT month, sum(orders) / sum(visits) AS ratio
FROM
(
    SELECT toStartOfMonth(ordered_at, 'Europe/Berlin') AS month, count() AS orders, 0 AS visits
    FROM orders FINAL
    WHERE NOT is_test
      AND ordered_at >= toDateTime64('2026-01-01 00:00:00', 6, 'Europe/Berlin')
      AND ordered_at < toDateTime64('2026-07-01 00:00:00', 6, 'Europe/Berlin')
    GROUP BY month
    UNION ALL
    SELECT toStartOfMonth(visited_at, 'Europe/Berlin') AS month, 0 AS orders, count() AS visits
    FROM visits
    WHERE NOT is_no_show AND NOT is_training
      AND visited_at >= toDateTime64('2026-01-01 00:00:00', 6, 'Europe/Berlin')
      AND visited_at < toDateTime64('2026-07-01 00:00:00', 6, 'Europe/Berlin')
    GROUP BY month
)
GROUP BY month
