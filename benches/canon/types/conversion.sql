-- Which visits were followed by an order within a week, the last visit taking the credit.
-- asked
SELECT date_trunc('month', metric_time) AS month, MEASURE(visit_to_order_rate) AS rate
FROM metrics.visit_to_order_rate
WHERE metric_time >= '2026-03-01' AND metric_time < '2026-06-01'
GROUP BY 1
-- expert
SELECT toStartOfMonth(visited_at, 'Europe/Berlin') AS month, countIf(is_last AND converted_at < visited_at + INTERVAL 7 DAY) / count() AS rate
FROM
(
    SELECT
        v.visited_at AS visited_at, v.visit_id AS visit_id, o.ordered_at AS converted_at, o.customer_id IS NOT NULL AS found,
        found AND v.next_at > o.ordered_at AS is_last
    FROM
    (
        SELECT customer_id, visited_at, visit_id,
            leadInFrame(visited_at, 1, toDateTime64('2200-01-01 00:00:00', 6, 'UTC')) OVER (PARTITION BY customer_id ORDER BY visited_at, visit_id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS next_at
        FROM visits
        WHERE NOT is_no_show AND NOT is_training AND customer_id IS NOT NULL
          AND visited_at >= toDateTime64('2026-03-01 00:00:00', 6, 'Europe/Berlin')
          AND visited_at < toDateTime64('2026-06-08 00:00:00', 6, 'Europe/Berlin')
    ) AS v
    ASOF LEFT JOIN
    (
        SELECT customer_id, ordered_at
        FROM orders FINAL
        WHERE NOT is_test AND customer_id IS NOT NULL
          AND ordered_at >= toDateTime64('2026-03-01 00:00:00', 6, 'Europe/Berlin')
          AND ordered_at < toDateTime64('2026-06-08 00:00:00', 6, 'Europe/Berlin')
    ) AS o ON v.customer_id = o.customer_id AND v.visited_at <= o.ordered_at
)
WHERE visited_at < toDateTime64('2026-06-01 00:00:00', 6, 'Europe/Berlin')
GROUP BY month
