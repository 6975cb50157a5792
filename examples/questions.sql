-- Questions to the demo company, for psql:
--
--   canon demo
--   canon serve
--   psql -h 127.0.0.1 -p 5433 canon -f examples/questions.sql
--
-- A measure is a calculation: it is evaluated for the groups of the query around it, over the rows
-- that its definition lets count. examples/retail/README.md shows what plain sums would say.

\pset null '(null)'

\echo 'What is there? One table for each entity; comments carry intent, owner, unit and version.'
\dt public.*
\d+ orders

\echo '1. Revenue by month: a month of Berlin, whatever time zone this session has'
SELECT date_trunc('month', metric_time) AS month, MEASURE(revenue) AS revenue
FROM orders
GROUP BY 1
ORDER BY 1;

\echo '2. Several measures at once: counts, a ratio of sums, a median'
SELECT channel,
       MEASURE(orders_completed)    AS orders,
       MEASURE(revenue)             AS revenue,
       MEASURE(average_order_value) AS average,
       MEASURE(median_order_value)  AS median
FROM orders
GROUP BY channel
ORDER BY revenue DESC;

\echo '3. A dimension of another entity. Online orders have no location: they are "(none)", not lost'
SELECT location_region, MEASURE(revenue) AS revenue, MEASURE(order_refund_rate) AS refund_rate
FROM orders
GROUP BY location_region
ORDER BY revenue DESC;

\echo '4. Two roles of the employees: who sold, who handed over'
SELECT placed_by_team, fulfilled_by_team, MEASURE(orders_completed) AS orders
FROM orders
WHERE channel = 'shop'
GROUP BY 1, 2
ORDER BY orders DESC
LIMIT 10;

\echo '5. Two hops: from the articles over the order to the customer'
SELECT order_customer_country, category,
       MEASURE(units_sold)          AS units,
       MEASURE(product_margin_rate) AS margin_rate
FROM order_lines
WHERE order_customer_country IN ('DE', 'AT', 'CH')
GROUP BY 1, 2
ORDER BY 1, units DESC;

\echo '6. Totals are computed from rows: the rate of all is no mean of rates'
SELECT channel, MEASURE(cancellation_rate) AS cancellation_rate, MEASURE(ordering_customers) AS customers
FROM orders
GROUP BY ROLLUP (channel)
ORDER BY channel;

\echo '7. A filter on one measure, and one on the groups'
SELECT customer_tier,
       MEASURE(revenue)                                      AS revenue,
       MEASURE(revenue) FILTER (WHERE coupon_code = 'O''NEIL10') AS with_coupon
FROM orders
WHERE metric_time >= '2026-07-01' AND metric_time < '2026-10-01'
GROUP BY customer_tier
HAVING MEASURE(orders_completed) > 100
ORDER BY revenue DESC;

\echo '8. Share of the total: the total is the same measure, asked without groups'
SELECT customer_country, MEASURE(revenue) / (SELECT MEASURE(revenue) FROM orders) AS share
FROM orders
GROUP BY customer_country
ORDER BY share DESC;

\echo '9. Two versions side by side, while everybody moves from 1 to 2'
SELECT date_trunc('quarter', metric_time) AS quarter,
       MEASURE(revenue)                      AS revenue,
       MEASURE(revenue_v1)                   AS revenue_v1,
       MEASURE(revenue_change_by_definition) AS change
FROM orders
GROUP BY 1
ORDER BY 1;

\echo '10. A true mean of days: the inner query makes numbers, the outer one is plain SQL'
SELECT avg(revenue) AS average_day, max(revenue) AS best_day
FROM (SELECT date_trunc('day', metric_time) AS day, MEASURE(revenue) AS revenue
      FROM orders
      WHERE metric_time >= '2025-10-01' AND metric_time < '2025-11-01'
      GROUP BY 1) AS days;

\echo '11. Visits: who came, how long they waited, what came of it'
SELECT location_city,
       MEASURE(visits_served)        AS visits,
       MEASURE(no_show_rate)         AS no_show_rate,
       MEASURE(wait_minutes_average) AS wait_minutes,
       MEASURE(satisfaction)         AS satisfaction
FROM visits
GROUP BY location_city
ORDER BY visits DESC
LIMIT 8;

\echo '12. Refunds by reason: each payment once, however often its event came'
SELECT reason, MEASURE(refunded_amount) AS amount, MEASURE(refund_per_order) AS per_order
FROM refunds
GROUP BY reason
ORDER BY amount DESC;

\echo '13. The metrics schema has one relation for each metric'
SELECT date_trunc('week', metric_time) AS week, orders_placed
FROM metrics.orders_placed
WHERE metric_time >= '2026-10-01'
ORDER BY week;

\echo '14. Rows, too: the current state of single orders'
SELECT order_id, status, ordered_at, net_amount, location_name
FROM orders
WHERE coupon_code = '50%\off'
ORDER BY ordered_at DESC
LIMIT 5;

\echo 'What would be misread is refused, with what to write instead.'
SELECT AVG(revenue) FROM orders;
SELECT customer_tier FROM orders WHERE revenue > 1000;
