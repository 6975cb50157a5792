--- Questions to the demo's definitions; tests/it/snapshots.rs explains them over ClickHouse.
--- `-- name` begins one; `-- name one` says that it has to become one statement there.

--- Metrics of each type

-- sum_total one
SELECT revenue FROM orders

-- count_by_attribute one
SELECT channel, MEASURE(orders_placed) AS orders FROM orders GROUP BY channel

-- several_metrics one
SELECT channel, MEASURE(orders_completed) AS orders, MEASURE(revenue) AS revenue,
       MEASURE(gross_sales) AS gross, MEASURE(discounts_given) AS discounts
FROM orders
GROUP BY channel

-- two_event_times one
SELECT date_trunc('month', metric_time) AS month,
       MEASURE(orders_placed) AS placed, MEASURE(orders_completed) AS completed
FROM orders
GROUP BY 1
ORDER BY 1

-- two_event_times_filtered one
SELECT MEASURE(orders_placed), MEASURE(revenue), MEASURE(orders_cancelled)
FROM orders
WHERE metric_time >= '2026-03-01' AND metric_time < '2026-04-01'

-- ratio one
SELECT channel, MEASURE(cancellation_rate) AS rate FROM orders GROUP BY channel

-- ratio_of_entities one
SELECT date_trunc('quarter', metric_time) AS quarter, revenue_per_customer FROM metrics.revenue_per_customer

-- ratio_with_filter one
SELECT online_revenue_share FROM orders WHERE customer_country = 'AT'

-- derived one
SELECT date_trunc('month', metric_time) AS month, MEASURE(revenue_change_by_definition) AS change
FROM orders
GROUP BY 1

-- derived_of_events one
SELECT method, MEASURE(refund_rejection_rate) AS rate FROM refunds GROUP BY method

-- quantile one
SELECT channel, MEASURE(median_order_value) AS median, MEASURE(handling_minutes_p90) AS p90
FROM orders
GROUP BY channel

-- count_distinct one
SELECT location_city, MEASURE(ordering_customers) AS customers FROM orders GROUP BY location_city

-- weighted_average one
SELECT kind, MEASURE(satisfaction) AS satisfaction FROM visits GROUP BY kind

-- average one
SELECT location_region, MEASURE(handling_minutes_average) AS minutes FROM orders GROUP BY location_region

-- min_and_max one
SELECT MEASURE(smallest_order) AS smallest, MEASURE(largest_order) AS largest FROM orders

-- metric_without_time one
SELECT team, MEASURE(headcount) AS heads FROM employees GROUP BY team

-- sum_of_cast
SELECT country, MEASURE(sales_floor) AS floor FROM locations GROUP BY country

-- every_type_at_once one
SELECT channel, revenue, orders_completed, ordering_customers, average_order_value,
       median_order_value, largest_order, smallest_order, handling_minutes_average
FROM orders

-- bi_spellings one
SELECT channel, SUM(revenue), COUNT(orders_placed), COUNT(DISTINCT ordering_customers),
       AVG(average_order_value), MAX(largest_order)
FROM orders
GROUP BY channel

--- Versions

-- versions_side_by_side one
SELECT date_trunc('quarter', metric_time) AS quarter, MEASURE(revenue) AS revenue,
       MEASURE(revenue_v1) AS revenue_v1, MEASURE(average_order_value_v1) AS average_v1
FROM orders
GROUP BY 1
ORDER BY 1

-- version_by_relation one
SELECT channel, revenue_v1 FROM metrics.revenue_v1

--- Dimensions of other entities

-- one_hop one
SELECT customer_tier, MEASURE(revenue) FROM orders GROUP BY customer_tier

-- two_hops one
SELECT order_customer_country, category, MEASURE(units_sold) AS units,
       MEASURE(product_margin_rate) AS margin_rate
FROM order_lines
WHERE order_customer_country IN ('DE', 'AT', 'CH')
GROUP BY 1, 2
ORDER BY 1, units DESC

-- two_hops_of_refunds one
SELECT order_location_region, reason, MEASURE(refunded_amount) FROM refunds GROUP BY 1, 2

-- two_roles one
SELECT placed_by_team, fulfilled_by_team, MEASURE(orders_completed) AS orders
FROM orders
WHERE channel = 'shop'
GROUP BY 1, 2
ORDER BY orders DESC
LIMIT 10

-- labels one
SELECT location_region, MEASURE(revenue) AS revenue
FROM orders
WHERE location_region <> '(unknown)'
GROUP BY location_region

-- calculated_attributes one
SELECT is_online, customer_generation, MEASURE(orders_placed) FROM orders GROUP BY 1, 2

--- Time

-- time_from one
SELECT date_trunc('day', metric_time) AS day, MEASURE(revenue) AS revenue
FROM orders
WHERE metric_time >= TIMESTAMP '2026-03-29 00:00:00'
GROUP BY 1

-- time_between one
SELECT MEASURE(revenue) FROM orders WHERE metric_time BETWEEN '2025-10-26' AND '2025-10-27'

-- time_month_equals one
SELECT MEASURE(revenue) FROM orders WHERE date_trunc('month', metric_time) = '2026-02-01'

-- time_cast_to_date one
SELECT metric_time::date AS day, MEASURE(revenue) AS revenue
FROM orders
WHERE metric_time::date >= '2026-10-01' AND metric_time::date <= '2026-10-07'
GROUP BY metric_time::date

-- time_extract one
SELECT extract(year FROM metric_time) AS year, extract(dow FROM metric_time) AS weekday, MEASURE(revenue)
FROM orders
GROUP BY 1, 2

-- time_instant one
SELECT MEASURE(orders_placed)
FROM orders
WHERE metric_instant >= '2026-03-28T23:00:00Z' AND metric_instant < '2026-03-29T22:00:00Z'

-- time_attribute one
SELECT MEASURE(orders_placed) FROM orders WHERE completed_at >= '2026-01-01' AND completed_at < '2026-02-01'

-- weeks_and_quarters one
SELECT date_trunc('quarter', metric_time) AS quarter, date_trunc('week', metric_time) AS week,
       MEASURE(visits_served) AS visits
FROM visits
GROUP BY 1, 2
ORDER BY 1, 2

-- weeks_from_sunday one
SELECT (CAST(DATE_TRUNC('week', (metric_time + INTERVAL '1 day')) AS timestamp) + INTERVAL '-1 day') AS week,
       SUM(orders_placed) AS sum
FROM orders
GROUP BY (CAST(DATE_TRUNC('week', (metric_time + INTERVAL '1 day')) AS timestamp) + INTERVAL '-1 day')
ORDER BY (CAST(DATE_TRUNC('week', (metric_time + INTERVAL '1 day')) AS timestamp) + INTERVAL '-1 day') ASC

--- Groups and their filters

-- having one
SELECT customer_tier, MEASURE(revenue) AS revenue
FROM orders
GROUP BY customer_tier
HAVING MEASURE(orders_completed) > 100 AND MEASURE(revenue) IS NOT NULL

-- order_limit_offset one
SELECT location_name, MEASURE(revenue) AS revenue
FROM orders
GROUP BY location_name
ORDER BY revenue DESC NULLS LAST, location_name
LIMIT 5 OFFSET 10

-- order_by_unselected_measure one
SELECT channel FROM orders GROUP BY channel ORDER BY MEASURE(orders_placed) DESC

-- filter_clause one
SELECT customer_tier, MEASURE(revenue) AS revenue,
       MEASURE(revenue) FILTER (WHERE channel = 'shop') AS in_shops
FROM orders
GROUP BY customer_tier

-- case_when_group one
SELECT CASE WHEN channel = 'shop' THEN 'offline' WHEN channel IN ('web', 'app') THEN 'online' ELSE 'other' END AS way,
       MEASURE(revenue) AS revenue
FROM orders
GROUP BY 1

-- case_when_of_measures one
SELECT channel, CASE WHEN MEASURE(orders_placed) = 0 THEN NULL ELSE MEASURE(revenue) / MEASURE(orders_placed) END AS each
FROM orders
GROUP BY channel

-- rollup one
SELECT channel, customer_tier, MEASURE(cancellation_rate) AS rate, MEASURE(ordering_customers) AS customers
FROM orders
GROUP BY ROLLUP (channel, customer_tier)

-- cube one
SELECT method, state, GROUPING(method) AS is_total, MEASURE(refunded_amount) AS amount
FROM refunds
GROUP BY CUBE (method, state)

-- grouping_sets one
SELECT kind, location_city, MEASURE(visitors) AS visitors
FROM visits
GROUP BY GROUPING SETS ((kind, location_city), (kind), ())

-- distinct one
SELECT DISTINCT customer_country FROM orders ORDER BY customer_country

-- values_of_a_field one
SELECT "public"."orders"."status" AS "status"
FROM "public"."orders"
GROUP BY "public"."orders"."status"
ORDER BY "public"."orders"."status" ASC
LIMIT 1000

-- window_over_groups
SELECT month, revenue, SUM(revenue) OVER (ORDER BY month) AS running
FROM (SELECT date_trunc('month', metric_time) AS month, MEASURE(revenue) AS revenue FROM orders GROUP BY 1) AS months

--- Nesting, sets, joins

-- metabase_source one
SELECT "source"."channel" AS "channel", SUM("source"."revenue") AS "sum"
FROM (SELECT "public"."orders"."channel" AS "channel", "public"."orders"."metric_time" AS "metric_time",
             "public"."orders"."revenue" AS "revenue"
      FROM "public"."orders") AS "source"
WHERE "source"."metric_time" >= timestamp '2026-01-01 00:00:00'
GROUP BY "source"."channel"
ORDER BY "source"."channel" ASC

-- metabase_filter_after_groups one
SELECT "source"."customer_tier" AS "customer_tier", "source"."sum" AS "sum"
FROM (SELECT "public"."orders"."customer_tier" AS "customer_tier", SUM("public"."orders"."revenue") AS "sum"
      FROM "public"."orders"
      GROUP BY "public"."orders"."customer_tier") AS "source"
WHERE "source"."sum" > 1000
LIMIT 1048575

-- metabase_implicit_join one
SELECT "customers__via__customer_id"."tier" AS "tier", SUM("public"."orders"."revenue") AS "sum"
FROM "public"."orders"
LEFT JOIN "public"."customers" AS "customers__via__customer_id"
  ON "public"."orders"."customer_id" = "customers__via__customer_id"."customer_id"
GROUP BY "customers__via__customer_id"."tier"

-- mean_of_days one
SELECT avg(revenue) AS average_day, max(revenue) AS best_day
FROM (SELECT date_trunc('day', metric_time) AS day, MEASURE(revenue) AS revenue
      FROM orders
      WHERE metric_time >= '2025-10-01' AND metric_time < '2025-11-01'
      GROUP BY 1) AS days

-- cte one
WITH monthly AS (
  SELECT date_trunc('month', metric_time) AS month, channel, MEASURE(revenue) AS revenue
  FROM orders
  GROUP BY 1, 2
)
SELECT channel, max(revenue) AS best FROM monthly WHERE month < '2026-01-01' GROUP BY channel

-- cte_without_groups one
WITH online AS (SELECT * FROM orders WHERE channel <> 'shop')
SELECT customer_country, MEASURE(average_order_value) FROM online GROUP BY customer_country

-- join_to_dimension one
SELECT l.region, l.format, MEASURE(o.revenue) AS revenue
FROM orders o
JOIN locations l ON l.location_id = o.location_id
WHERE l.country = 'DE'
GROUP BY l.region, l.format

-- join_fan_out one
SELECT o.channel, MEASURE(o.orders_placed) AS orders, MEASURE(l.units_sold) AS units
FROM orders o
JOIN order_lines l ON l.order_id = o.order_id
GROUP BY o.channel

-- union_all one
SELECT 'placed' AS what, MEASURE(orders_placed) AS orders FROM orders
UNION ALL
SELECT 'completed', MEASURE(orders_completed) FROM orders

-- in_subquery one
SELECT MEASURE(orders_placed)
FROM orders
WHERE customer_id IN (SELECT customer_id FROM customers WHERE newsletter AND tier = 'gold')

-- exists_subquery
SELECT MEASURE(orders_placed)
FROM orders o
WHERE EXISTS (SELECT 1 FROM refunds r WHERE r.order_id = o.order_id AND r.state = 'paid')

-- metric_relation one
SELECT date_trunc('week', metric_time) AS week, orders_placed
FROM metrics.orders_placed
WHERE metric_time >= '2026-10-01'
ORDER BY week

-- metric_relation_of_two_entities one
SELECT order_channel, SUM(product_sales) AS sales FROM metrics.product_sales GROUP BY order_channel

--- Rows

-- row_by_key
SELECT order_id, status, ordered_at, net_amount, customer_tier, location_name, revenue
FROM orders
WHERE order_id = 42

-- rows_newest one
SELECT order_id, status, ordered_at, net_amount
FROM orders
WHERE status = 'open'
ORDER BY ordered_at DESC
LIMIT 20

-- rows_of_events one
SELECT refund_id, amount, reason FROM refunds WHERE amount > 100.5 ORDER BY refund_id LIMIT 10

-- count_rows one
SELECT status, COUNT(*) AS rows, COUNT(discount_amount) AS discounted, MAX(ordered_at) AS newest
FROM orders
GROUP BY status

-- count_distinct_dimension one
SELECT COUNT(DISTINCT customer_country) AS countries, COUNT(DISTINCT customer_id) AS customers FROM orders

-- rows_beside_a_measure one
SELECT channel, COUNT(*) AS rows, MEASURE(orders_placed) AS orders FROM orders GROUP BY channel

--- Filters

-- like one
SELECT MEASURE(revenue) FROM orders WHERE location_city LIKE 'M%nchen' OR coupon_code LIKE '50\%%'

-- ilike one
SELECT MEASURE(units_sold) FROM order_lines WHERE product_name ILIKE '%batter_%' AND product_name NOT ILIKE 'x%'

-- nulls one
SELECT coalesce(customer_country, '?') AS country, MEASURE(orders_placed) AS orders
FROM orders
WHERE discount_amount IS NULL AND (coupon_code IS DISTINCT FROM 'SUMMER')
  AND (status <> 'open' OR status IS NULL)
GROUP BY 1

-- quotes_and_backslashes one
SELECT '\' AS "back\slash ""quoted""", MEASURE(orders_placed) AS "it's"
FROM orders
WHERE coupon_code IN ('O''NEIL10', '50%\off', '\''; DROP TABLE orders; --', 'ü€😀')

-- booleans one
SELECT newsletter, MEASURE(registered_customers) AS customers
FROM customers
WHERE NOT is_staff AND newsletter IS NOT TRUE
GROUP BY newsletter

-- numbers one
SELECT round(MEASURE(gross_sales) / 1000, 1) AS thousands, MEASURE(gross_sales) * 1.19 AS with_tax
FROM orders
WHERE net_amount BETWEEN 10 AND 99.99 AND handling_minutes % 2 = 0

-- text_functions one
SELECT upper(substring(customer_city, 1, 3)) AS town, length(customer_city) AS letters, MEASURE(revenue)
FROM orders
WHERE lower(trim(customer_city)) <> ''
GROUP BY 1, 2

-- nothing
SELECT channel, MEASURE(revenue), MEASURE(orders_placed) FROM orders WHERE false GROUP BY channel

-- nothing_total
SELECT MEASURE(revenue), MEASURE(orders_placed) FROM orders WHERE 1 = 0

-- no_rows_limit_zero
SELECT TRUE AS "_" FROM "public"."orders" WHERE 1 <> 1 LIMIT 0

-- share_of_total one
SELECT channel, MEASURE(revenue) / MEASURE(revenue) OVER () AS share FROM orders GROUP BY channel

-- over_entities one
SELECT order_channel, MEASURE(refund_value_rate) FROM metrics.refund_value_rate GROUP BY order_channel ORDER BY 1

-- joined_metrics one
SELECT date_trunc('month', r.metric_time) AS month, MEASURE(r.revenue), MEASURE(v.visits_served)
FROM metrics.revenue r JOIN metrics.visits_served v ON v.metric_time = r.metric_time
WHERE r.metric_time >= '2026-01-01'
GROUP BY 1

-- trailing_window one
SELECT date_trunc('day', metric_time) AS day, revenue_28_days FROM metrics.revenue_28_days
WHERE metric_time >= '2026-03-01' AND metric_time < '2026-04-01'

-- trailing_distinct one
SELECT date_trunc('week', metric_time) AS week, customers_28_days FROM metrics.customers_28_days
WHERE metric_time >= '2026-03-01' AND metric_time < '2026-04-01'

-- month_to_date one
SELECT date_trunc('day', metric_time) AS day, channel, MEASURE(revenue_month_to_date)
FROM metrics.revenue_month_to_date WHERE metric_time >= '2026-03-01' GROUP BY 1, 2

-- earlier_year one
SELECT date_trunc('month', metric_time) AS month, MEASURE(revenue), MEASURE(revenue_last_year)
FROM orders WHERE metric_time >= '2026-01-01' GROUP BY 1
--- Members followed over time

-- conversion one
SELECT date_trunc('month', metric_time) AS month, MEASURE(visit_to_order_rate) AS rate
FROM metrics.visit_to_order_rate
WHERE metric_time >= '2026-03-01' AND metric_time < '2026-06-01'
GROUP BY 1

-- conversion_booked_at_conversion one
SELECT date_trunc('month', metric_time) AS month, first_visit_orders FROM metrics.first_visit_orders

-- conversion_of_a_group one
SELECT kind, MEASURE(first_visit_orders) FROM metrics.first_visit_orders
WHERE customer_country = 'AT'
GROUP BY kind

-- funnel one
SELECT step, step_name, MEASURE(care_funnel) AS customers
FROM metrics.care_funnel
WHERE metric_time >= '2026-03-01' AND metric_time < '2026-04-01'
GROUP BY 1, 2
ORDER BY 1

-- retention one
SELECT date_trunc('month', metric_time) AS cohort, age, MEASURE(customer_retention) AS retention
FROM metrics.customer_retention
GROUP BY 1, 2
ORDER BY 1, 2

-- retention_by_attribute one
SELECT country, MEASURE(customer_retention) AS retention FROM metrics.customer_retention WHERE age = 3 GROUP BY 1

-- snapshot one
SELECT date_trunc('month', metric_time) AS month, MEASURE(stock_on_hand) AS pieces FROM metrics.stock_on_hand
WHERE metric_time >= '2026-03-01' AND metric_time < '2026-05-01'
GROUP BY 1

-- snapshot_by_group one
SELECT location_region, stock_on_hand FROM metrics.stock_on_hand WHERE metric_time >= '2026-03-01' GROUP BY 1

--- Periods without rows

-- filled one
SELECT * FROM canon.query('revenue', by => 'metric_time.day', fill => true,
                          where => 'metric_time >= ''2026-03-01'' AND metric_time < ''2026-03-08''')

-- filled_groups one
SELECT * FROM canon.query('revenue, refunded_amount', by => 'metric_time.month, order_channel', fill => true,
                          where => 'metric_time >= ''2026-01-01''')

-- fiscal_calendar one
SELECT date_trunc('retail.month', metric_time) AS month, revenue FROM metrics.revenue
WHERE date_trunc('retail.year', metric_time) = '2026-02-01' GROUP BY 1 ORDER BY 1;

--- Keys and conditions without a twin: ClickHouse groups by what they are computed from

-- month_names one
SELECT to_char(metric_time, 'Mon YYYY') AS month, MEASURE(revenue) FROM orders GROUP BY 1

-- quarter_hours one
SELECT date_bin('15 minutes', ordered_at, '2026-01-01') AS slot, count(*) FROM orders
WHERE ordered_at >= '2026-03-01' AND ordered_at < '2026-03-02' GROUP BY 1

-- padded_names
SELECT to_char(metric_time, 'Day') AS weekday, MEASURE(revenue) AS revenue, MEASURE(average_order_value) AS value,
       MEASURE(ordering_customers) AS customers
FROM orders WHERE initcap(channel) IN ('App', 'Web') AND metric_time >= '2026-01-01'
GROUP BY 1 ORDER BY 1

-- computed_below
SELECT name, count(DISTINCT customer_id) AS customers, count(*) AS orders, max(ordered_at) AS last
FROM (SELECT initcap(channel) AS name, customer_id, ordered_at FROM orders) q
GROUP BY name
