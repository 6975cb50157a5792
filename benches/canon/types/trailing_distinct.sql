-- A distinct count over four weeks, for each week of a month.
-- asked
SELECT date_trunc('week', metric_time) AS week, MEASURE(customers_28_days) AS customers
FROM metrics.customers_28_days
WHERE metric_time >= '2026-03-02' AND metric_time < '2026-03-30'
GROUP BY 1
-- expert
SELECT week, uniqExact(customer_id) AS customers
FROM
(
    SELECT customer_id, toMonday(completed_at, 'Europe/Berlin') AS own,
        arrayJoin([own, own + 7, own + 14, own + 21]) AS week
    FROM orders FINAL
    WHERE order_status IN ('completed', 'refunded') AND NOT is_test
      AND (customer_id IS NULL OR customer_id NOT IN (SELECT customer_id FROM customers FINAL WHERE is_staff))
      AND completed_at >= toDateTime64('2026-02-09 00:00:00', 6, 'Europe/Berlin')
      AND completed_at < toDateTime64('2026-03-30 00:00:00', 6, 'Europe/Berlin')
)
WHERE week >= '2026-03-02' AND week < '2026-03-30'
GROUP BY week
