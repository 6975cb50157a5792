-- The fixture "shop" as plain tables of the shape that canon serves, so that the scripts themselves
-- can be proven against PostgreSQL: there SUM(revenue) is a sum over rows, in canon the metric.
CREATE TABLE customers AS
  SELECT customer_id, country, tier, signed_up_on FROM raw_customers;
ALTER TABLE customers ADD PRIMARY KEY (customer_id);
CREATE TABLE orders AS
  SELECT order_id, customer_id, channel, order_status AS status, ordered_at, completed_at,
         gross_amount, discount_amount, items, rating, country AS customer_country,
         ordered_at AT TIME ZONE 'Europe/Berlin' AS metric_time,
         CASE WHEN eligible THEN gross_amount - coalesce(discount_amount, 0) END AS revenue,
         CASE WHEN eligible THEN 1::bigint ELSE 0 END AS orders_completed
  FROM (SELECT *, order_status IN ('completed', 'refunded') AND NOT is_test AS eligible
        FROM raw_orders LEFT JOIN raw_customers USING (customer_id)) AS o;
ALTER TABLE orders ADD PRIMARY KEY (order_id);
