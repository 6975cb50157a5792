-- A sum by a segment of the customers, which is computed from their orders.
-- asked
SELECT customer_loyalty_tier, MEASURE(revenue) AS revenue FROM orders GROUP BY customer_loyalty_tier
-- expert
WITH
    members AS
    (
        SELECT customer_id,
            sumIf(gross_amount - ifNull(discount_amount, 0), completed_at > now() - INTERVAL 6 YEAR AND completed_at <= now()) AS revenue,
            countIf(completed_at > now() - INTERVAL 24 MONTH AND completed_at <= now()) AS orders
        FROM orders FINAL
        WHERE order_status IN ('completed', 'refunded') AND NOT is_test
        GROUP BY customer_id
    ),
    tiers AS
    (
        SELECT c.customer_id AS customer_id, multiIf(m.revenue >= 4000, 'gold', m.revenue >= 800 OR m.orders >= 3, 'silver', 'basic') AS tier
        FROM (SELECT customer_id FROM customers FINAL) AS c
        LEFT JOIN members AS m ON m.customer_id = c.customer_id
    )
SELECT t.tier AS loyalty_tier, sum(o.gross_amount - ifNull(o.discount_amount, 0)) AS revenue
FROM orders AS o FINAL
LEFT JOIN tiers AS t ON t.customer_id = o.customer_id
WHERE o.order_status IN ('completed', 'refunded') AND NOT o.is_test
GROUP BY loyalty_tier
