-- The fixture "shop" in plain tables of the shape that canon serves, which are made from canon's
-- catalogue before this runs; schema raw has the fixture's own tables. In them a measure is the
-- value of one row, so SUM(revenue) is a sum over rows here, and the metric in canon.
CREATE TEMPORARY VIEW facts AS
  SELECT o.*, order_status AS status, o.customer_id AS customer_customer_id,
         c.country AS customer_country, c.tier AS customer_tier,
         c.signed_up_on AS customer_signed_up_on, o.placed_by_id AS placed_by_employee_id,
         p.team AS placed_by_team, o.fulfilled_by_id AS fulfilled_by_employee_id,
         f.team AS fulfilled_by_team,
         CASE WHEN order_status IN ('completed', 'refunded') AND NOT is_test
              THEN gross_amount - coalesce(discount_amount, 0) END AS worth
  FROM raw.raw_orders AS o
       LEFT JOIN raw.raw_customers AS c USING (customer_id)
       LEFT JOIN raw.raw_employees AS p ON p.employee_id = o.placed_by_id
       LEFT JOIN raw.raw_employees AS f ON f.employee_id = o.fulfilled_by_id;

INSERT INTO public.customers SELECT customer_id, country, tier, signed_up_on FROM raw.raw_customers;
INSERT INTO public.employees SELECT employee_id, team FROM raw.raw_employees;
INSERT INTO public.visits
  SELECT visit_id, v.customer_id, visited_at, v.customer_id, country, tier, signed_up_on,
         visited_at AT TIME ZONE 'Europe/Berlin', visited_at, 1
  FROM raw.raw_visits AS v LEFT JOIN raw.raw_customers USING (customer_id);

-- Its times are those of the rows, the order's; a metric's own relation has the metric's.
INSERT INTO public.orders
  (order_id, customer_id, placed_by_id, fulfilled_by_id, channel, status, ordered_at, completed_at,
   gross_amount, discount_amount, items, rating, customer_customer_id, customer_country,
   customer_tier, customer_signed_up_on, placed_by_employee_id, placed_by_team,
   fulfilled_by_employee_id, fulfilled_by_team, metric_time, metric_instant, average_items,
   first_completed, largest_order, orders_completed, orders_open, restricted_revenue, revenue,
   web_revenue)
  SELECT order_id, customer_id, placed_by_id, fulfilled_by_id, channel, status, ordered_at,
         completed_at, gross_amount, discount_amount, items, rating, customer_customer_id,
         customer_country, customer_tier, customer_signed_up_on, placed_by_employee_id,
         placed_by_team, fulfilled_by_employee_id, fulfilled_by_team,
         ordered_at AT TIME ZONE 'Europe/Berlin', ordered_at,
         CASE WHEN worth IS NOT NULL THEN items END,
         CASE WHEN worth IS NOT NULL THEN completed_at END,
         worth, count(worth) OVER (PARTITION BY order_id), (status = 'open')::int, worth, worth,
         CASE WHEN channel = 'web' THEN worth END
  FROM facts;

INSERT INTO metrics.revenue
  SELECT completed_at AT TIME ZONE 'Europe/Berlin', completed_at, order_id, customer_id,
         placed_by_id, fulfilled_by_id, channel, status, ordered_at, completed_at, gross_amount,
         discount_amount, items, rating, customer_customer_id, customer_country, customer_tier,
         customer_signed_up_on, placed_by_employee_id, placed_by_team, fulfilled_by_employee_id,
         fulfilled_by_team, completed_at IS NOT NULL, worth
  FROM facts;
INSERT INTO metrics.restricted_revenue
  SELECT completed_at AT TIME ZONE 'Europe/Berlin', completed_at, channel, customer_country,
         completed_at IS NOT NULL, worth
  FROM facts;
INSERT INTO metrics.visit_count
  SELECT visited_at AT TIME ZONE 'Europe/Berlin', visited_at, visit_id, v.customer_id, visited_at,
         v.customer_id, country, tier, signed_up_on, true, 1
  FROM raw.raw_visits AS v LEFT JOIN raw.raw_customers USING (customer_id);
