-- How many customers get from a visit to an order and to the goods within 30 days.
-- asked
SELECT step, MEASURE(care_funnel) AS customers
FROM metrics.care_funnel
WHERE metric_time >= '2026-03-01' AND metric_time < '2026-04-01'
GROUP BY 1
-- expert
SELECT step, countIf(level >= step) AS customers
FROM
(
    SELECT customer_id, arrayJoin([1, 2, 3]) AS step,
        windowFunnel(2592000000000)(at, kind = 1, kind = 2, kind = 3) AS level
    FROM
    (
        SELECT customer_id, toUInt64(toUnixTimestamp64Micro(visited_at)) AS at, 1 AS kind FROM visits
        WHERE NOT is_no_show AND NOT is_training AND customer_id IS NOT NULL
          AND visited_at >= toDateTime64('2026-03-01 00:00:00', 6, 'Europe/Berlin')
          AND visited_at < toDateTime64('2026-04-01 00:00:00', 6, 'Europe/Berlin')
        UNION ALL
        SELECT customer_id, toUInt64(toUnixTimestamp64Micro(ordered_at)), 2 FROM orders FINAL
        WHERE NOT is_test AND customer_id IS NOT NULL
          AND ordered_at >= toDateTime64('2026-03-01 00:00:00', 6, 'Europe/Berlin')
          AND ordered_at < toDateTime64('2026-05-01 00:00:00', 6, 'Europe/Berlin')
        UNION ALL
        SELECT customer_id, toUInt64(toUnixTimestamp64Micro(assumeNotNull(completed_at))), 3 FROM orders FINAL
        WHERE order_status IN ('completed', 'refunded') AND NOT is_test AND customer_id IS NOT NULL
          AND completed_at >= toDateTime64('2026-03-01 00:00:00', 6, 'Europe/Berlin')
          AND completed_at < toDateTime64('2026-05-01 00:00:00', 6, 'Europe/Berlin')
    )
    GROUP BY customer_id
)
GROUP BY step
