-- A distinct count whose eligibility reads another table.
-- asked
SELECT channel, MEASURE(ordering_customers) AS customers FROM orders GROUP BY channel
-- expert
SELECT channel, uniqExact(customer_id) AS customers
FROM orders FINAL
WHERE order_status IN ('completed', 'refunded') AND NOT is_test
  AND (customer_id IS NULL OR customer_id NOT IN (SELECT customer_id FROM customers FINAL WHERE is_staff))
GROUP BY channel
