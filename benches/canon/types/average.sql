-- An average by a column of another table.
-- asked
SELECT location_region, MEASURE(handling_minutes_average) AS minutes FROM orders GROUP BY location_region
-- expert
SELECT multiIf(o.location_id IS NULL, '(none)', l.location_id IS NULL, '(unknown)', l.region) AS region, avg(handling_minutes) AS minutes
FROM orders AS o FINAL
LEFT JOIN (SELECT location_id, region FROM locations FINAL) AS l ON o.location_id = l.location_id
WHERE order_status IN ('completed', 'refunded') AND NOT is_test
GROUP BY region
