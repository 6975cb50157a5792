-- The tables of definitions.yaml, made of the demo's.

-- Two or three tiers for each customer, one after another; every twentieth customer left.
CREATE TABLE customer_history
(
    customer_id Int64,
    tier LowCardinality(String),
    valid_from DateTime64(3, 'UTC'),
    valid_to Nullable(DateTime64(3, 'UTC'))
)
ENGINE = MergeTree
ORDER BY (customer_id, valid_from);

INSERT INTO customer_history
WITH
    [signed, signed + toIntervalDay(60 + hash % 200), signed + toIntervalDay(300 + hash % 331)] AS begins,
    ['basic', 'silver', 'gold'] AS tiers,
    2 + hash % 2 AS spans
SELECT
    customer_id,
    tiers[span],
    begins[span],
    if(span < spans, begins[span + 1], if(hash % 20 = 0, begins[span] + toIntervalDay(90), NULL))
FROM
(
    SELECT DISTINCT
        customer_id,
        cityHash64(customer_id) AS hash,
        toDateTime64('2024-06-01 00:00:00', 3, 'UTC') + toIntervalHour(hash % 7000) AS signed
    FROM customers
)
ARRAY JOIN range(1, spans + 1) AS span;

-- An evening's count for each shop and article; a fifth is missing.
CREATE TABLE evening_counts
(
    count_id Int64,
    location_id Int64,
    sku LowCardinality(String),
    quantity Int64,
    counted_at DateTime64(3, 'UTC')
)
ENGINE = MergeTree
ORDER BY (counted_at, location_id, sku);

INSERT INTO evening_counts
SELECT
    number,
    1 + number % 25,
    concat('sku-', leftPad(toString(intDiv(number, 25) % 200), 3, '0')),
    cityHash64(number) % 500,
    toDateTime64('2025-01-01 19:00:00', 3, 'UTC') + toIntervalDay(intDiv(number, 5000)) + toIntervalSecond(number % 5000)
FROM numbers(5000 * 669)
WHERE cityHash64(number, 'counted') % 5 > 0;
