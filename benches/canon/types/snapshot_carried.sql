-- The same for each day of a month, a missing count standing for two more days.
-- asked
SELECT date_trunc('day', metric_time) AS day, MEASURE(on_hand_carried) AS pieces
FROM evening_counts
WHERE metric_time >= '2026-03-01' AND metric_time < '2026-04-01'
GROUP BY 1
-- expert
SELECT day, sum(last) AS pieces
FROM
(
    SELECT arrayJoin([own, own + 1, own + 2]) AS day, argMax(quantity, counted_at) AS last
    FROM
    (
        SELECT toDate(counted_at, 'Europe/Berlin') AS own, location_id, sku, quantity, counted_at
        FROM evening_counts
        WHERE counted_at >= toDateTime64('2026-02-27 00:00:00', 3, 'Europe/Berlin')
          AND counted_at < toDateTime64('2026-04-01 00:00:00', 3, 'Europe/Berlin')
    )
    WHERE day >= '2026-03-01' AND day < '2026-04-01'
    GROUP BY day, location_id, sku
)
GROUP BY day
