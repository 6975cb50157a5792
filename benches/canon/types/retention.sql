-- Of the customers of a month, how many order again after so many months.
-- asked
SELECT date_trunc('month', metric_time) AS cohort, age, MEASURE(customer_retention) AS retention
FROM metrics.customer_retention
GROUP BY 1, 2
-- expert
WITH
    (SELECT max(_ingested_at) FROM orders FINAL) AS known,
    members AS
    (
        SELECT customer_id, groupUniqArray(toRelativeMonthNum(ordered_at, 'Europe/Berlin')) AS months, arrayMin(months) AS first
        FROM orders FINAL
        WHERE NOT is_test AND customer_id IS NOT NULL
        GROUP BY customer_id
    ),
    ages AS
    (
        SELECT first, toRelativeMonthNum(known, 'Europe/Berlin') - first AS oldest, count() AS members,
            sumMap(arrayMap(month -> month - first, months), arrayMap(month -> 1, months)) AS active
        FROM members
        GROUP BY first
    )
SELECT addMonths(toDate('1970-01-01'), first - 23641) AS cohort, age,
    if(age < oldest, arrayElement(active.2, indexOf(active.1, age)) / members, NULL) AS retention
FROM ages
ARRAY JOIN range(oldest + 1) AS age
