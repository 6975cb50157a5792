-- A sum by what customers were at the time of their order.
-- asked
SELECT client_tier, MEASURE(sales_placed) AS sales FROM sales GROUP BY client_tier
-- expert
SELECT if(o.ordered_at < h.valid_to OR h.valid_to IS NULL, h.tier, NULL) AS tier_then, sum(o.gross_amount) AS sales
FROM (SELECT customer_id, ordered_at, gross_amount FROM orders FINAL WHERE NOT is_test) AS o
ASOF LEFT JOIN customer_history AS h ON o.customer_id = h.customer_id AND o.ordered_at >= h.valid_from
GROUP BY tier_then
