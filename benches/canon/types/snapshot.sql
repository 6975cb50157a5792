-- The last count of each shop and article in a month, added up.
-- asked
SELECT date_trunc('month', metric_time) AS month, MEASURE(on_hand) AS pieces
FROM evening_counts
WHERE metric_time >= '2026-01-01' AND metric_time < '2026-07-01'
GROUP BY 1
-- expert
SELECT month, sum(last) AS pieces
FROM
(
    SELECT toStartOfMonth(counted_at, 'Europe/Berlin') AS month, argMax(quantity, counted_at) AS last
    FROM evening_counts
    WHERE counted_at >= toDateTime64('2026-01-01 00:00:00', 3, 'Europe/Berlin')
      AND counted_at < toDateTime64('2026-07-01 00:00:00', 3, 'Europe/Berlin')
    GROUP BY month, location_id, sku
)
GROUP BY month
