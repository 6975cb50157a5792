-- The same of events, whose primary key serves a filter of time.
-- asked
SELECT date_trunc('day', metric_time) AS day, MEASURE(visits_28_days) AS visits
FROM metrics.visits_28_days
WHERE metric_time >= '2026-03-01' AND metric_time < '2026-04-01'
GROUP BY 1
-- expert
SELECT day, visits
FROM
(
    SELECT toDate(visited_at, 'Europe/Berlin') AS day,
        sum(count()) OVER (ORDER BY day RANGE BETWEEN 27 PRECEDING AND CURRENT ROW) AS visits
    FROM visits
    WHERE NOT is_no_show AND NOT is_training
      AND visited_at >= toDateTime64('2026-02-02 00:00:00', 6, 'Europe/Berlin')
      AND visited_at < toDateTime64('2026-04-01 00:00:00', 6, 'Europe/Berlin')
    GROUP BY day
)
WHERE day >= '2026-03-01'
