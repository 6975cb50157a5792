//! EXPLAIN: which rows count and why the others don't, and plans in the shape that tools parse,
//! over both backends.

use serde_json::{Value, json};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::clickhouse_server::ClickHouseServer;
use crate::fixture::Fixture;
use crate::servers::Canon;

async fn column(client: &Client, sql: &str) -> Vec<String> {
    let messages = client.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    let text = |message| match message {
        SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap().to_owned()),
        _ => None,
    };
    messages.into_iter().filter_map(text).collect()
}

async fn explained(client: &Client, question: &str) -> Value {
    let rows = column(client, &format!("EXPLAIN (CANON, FORMAT JSON) {question}")).await;
    assert_eq!(rows.len(), 1);
    serde_json::from_str(&rows[0]).unwrap()
}

/// The rows' parts: source, dropped by each step, counted; with the metric that they are of.
fn counts(explained: &Value) -> Vec<(String, i64, Vec<i64>, i64)> {
    let metrics = explained["metrics"].as_array().unwrap().iter();
    let rows = metrics.flat_map(|metric| metric["rows"].as_array().unwrap());
    rows.map(|rows| {
        let dropped: Vec<i64> = rows["dropped"]
            .as_array()
            .unwrap()
            .iter()
            .map(|step| step["rows"].as_i64().unwrap())
            .collect();
        let (source, counted) =
            (rows["source_rows"].as_i64().unwrap(), rows["counted"].as_i64().unwrap());
        assert_eq!(source - dropped.iter().sum::<i64>(), counted, "the counts don't add up");
        (rows["metric"].as_str().unwrap().to_owned(), source, dropped, counted)
    })
    .collect()
}

/// The fixture over both backends.
async fn both(name: &str) -> (ClickHouseServer, Vec<Canon>) {
    let fixture = Fixture::load(name);
    let server = ClickHouseServer::start().await;
    fixture.load_clickhouse(&server).await;
    let canons =
        vec![Canon::embedded(&fixture).await, Canon::over_clickhouse(&fixture, &server).await];
    (server, canons)
}

fn of(metric: &str, source: i64, dropped: &[i64], counted: i64) -> (String, i64, Vec<i64>, i64) {
    (metric.to_owned(), source, dropped.to_vec(), counted)
}

#[tokio::test]
async fn rows_are_counted_at_the_first_that_drops_them() {
    let (_server, canons) = both("shop").await;
    for canon in &canons {
        let client = canon.connect("analyst").await.unwrap();
        let counts = async |question: &str| counts(&explained(&client, question).await);
        // Orders 4 and 10 weren't completed, order 8 is a test.
        let all = [of("revenue", 11, &[0, 2, 1], 8)];
        assert_eq!(counts("SELECT revenue FROM orders").await, all);
        assert_eq!(counts("SELECT channel, SUM(revenue) FROM orders GROUP BY 1").await, all);
        assert_eq!(counts("SELECT MEASURE(revenue) FROM metrics.revenue").await, all);
        // Of German customers are 1, 2, 5, 8 and 9.
        let german = [of("revenue", 11, &[6, 0, 1], 4)];
        let sql = "SELECT revenue FROM orders WHERE customer_country = 'DE'";
        assert_eq!(counts(sql).await, german);
        let sql = "SELECT MEASURE(revenue) FILTER (WHERE customer_country = 'DE') FROM orders";
        assert_eq!(counts(sql).await, german);
        let sql = "SELECT o.revenue FROM orders o JOIN customers c USING (customer_id) \
                   WHERE c.country = 'DE'";
        assert_eq!(counts(sql).await, german);
        // In March: 6 to 9 and 11, of which 8 is a test; the web adds a condition.
        let sql = "SELECT web_revenue, date_trunc('day', metric_time) FROM orders \
                   WHERE metric_time >= '2026-03-01' GROUP BY 2";
        assert_eq!(counts(sql).await, [of("web_revenue", 11, &[5, 0, 1, 3], 2)]);
        // Parts of a ratio each have their rows.
        let parts = [of("revenue", 11, &[0, 2, 1], 8), of("orders_completed", 11, &[0, 2, 1], 8)];
        assert_eq!(counts("SELECT average_order_value FROM orders").await, parts);
        // Rows as they are.
        let sql = "SELECT order_id, revenue FROM orders WHERE channel = 'app'";
        assert_eq!(counts(sql).await, [of("revenue", 11, &[8, 1, 0], 2)]);
        assert_eq!(counts("SELECT COUNT(*) FROM orders").await, []);
    }
}

#[tokio::test]
async fn dedupe_comes_before_everything() {
    let (_server, canons) = both("traps/t11_at_least_once").await;
    for canon in &canons {
        let client = canon.connect("analyst").await.unwrap();
        let counts = async |question: &str| counts(&explained(&client, question).await);
        let plain = counts("SELECT plain_sum FROM plain").await;
        assert_eq!(plain, [of("plain_sum", 4, &[2, 0], 2)]);
        let sql = "SELECT plain_deleted_sum FROM plain_deleted WHERE id = 'a'";
        assert_eq!(counts(sql).await, [of("plain_deleted_sum", 5, &[4, 1], 0)]);
        // ClickHouse may have merged some of these rows already.
        let counts = counts("SELECT replacing_deleted_sum FROM replacing_deleted").await;
        assert_eq!(counts[0].3, 1);
    }
}

#[tokio::test]
async fn joins_that_repeat_rows_count_each_once() {
    let (_server, canons) = both("traps/t1_fan_out").await;
    for canon in &canons {
        let client = canon.connect("analyst").await.unwrap();
        let sql = "SELECT MEASURE(revenue), COUNT(*) FROM orders o JOIN lines l USING (order_id) \
                   WHERE l.category = 'device'";
        let counts = counts(&explained(&client, sql).await);
        assert_eq!(counts, [of("revenue", 3, &[1], 2)]);
    }
}

#[tokio::test]
async fn joins_say_which_rows_of_histories_and_segments_they_take() {
    let (_server, canons) = both("traps/segments_at_event").await;
    for canon in &canons {
        let client = canon.connect("analyst").await.unwrap();
        let sql = "SELECT customer_tier, customer_tier_current, customer_pace_at_event, \
                   customer_pace, revenue FROM orders";
        let told = explained(&client, sql).await;
        let rows = &told["metrics"][0]["rows"][0];
        let joins = rows["joins"].as_array().unwrap().iter();
        let joins: Vec<_> = joins
            .map(|join| json!([join["relationship"], join["as_of"], join["needed_for"]]))
            .collect();
        // Of groups too, for whether the customer is known.
        let of_customer = |as_of: &str, dimensions: [&str; 2]| {
            let needed_for = dimensions.map(|dimension| format!("dimension {dimension}"));
            json!(["customer", as_of, needed_for])
        };
        let expected = [
            of_customer("event", ["customer_tier", "customer_pace_at_event"]),
            of_customer("current", ["customer_pace", "customer_tier_current"]),
        ];
        assert_eq!(joins, expected);
        let segments = rows["segments"].as_array().unwrap().iter();
        let segments: Vec<_> = segments
            .map(|it| json!([it["segment"], it["as_of"], it["relationship"], it["reads"]]))
            .collect();
        let reads = json!(["orders_completed@1 over 60 days", "revenue@1 over 1 month"]);
        assert_eq!(
            segments,
            [
                json!(["pace", "event", "customer", reads]),
                json!(["pace", "current", "customer", reads])
            ]
        );
        let lines = column(&client, &format!("EXPLAIN (CANON) {sql}")).await;
        for expected in [
            "    Joined: customers as customer by customer_id, each row as it was valid at the \
             counted row's own time, for dimension customer_tier, dimension \
             customer_pace_at_event; a row without one stays",
            "    Joined: segment pace 1.0.0 of customer, at the counted row's own time, for \
             dimension customer_pace_at_event; its rules read orders_completed@1 over 60 \
             days, revenue@1 over 1 month",
        ] {
            assert!(lines.iter().any(|line| line.contains(expected.trim())), "{lines:#?}");
        }
    }
}

#[tokio::test]
async fn windows_and_offsets_say_which_rows_they_reach() {
    let (_server, canons) = both("types/over_time").await;
    for canon in &canons {
        let client = canon.connect("analyst").await.unwrap();
        let counts = async |question: &str| counts(&explained(&client, question).await);
        // Order 6 is a test. From the beginning of March: 1 to 4; 5 is of April.
        let sql = "SELECT date_trunc('day', metric_time), MEASURE(revenue_month_to_date) \
                   FROM orders WHERE metric_time >= '2026-03-03' AND metric_time < '2026-03-11' \
                   GROUP BY 1";
        assert_eq!(counts(sql).await, [of("revenue", 6, &[0, 1, 1], 4)]);
        // Seven days up to March 10: order 4.
        let sql = "SELECT date_trunc('day', metric_time), orders_in_7_days \
                   FROM metrics.orders_in_7_days \
                   WHERE metric_time >= '2026-03-10' AND metric_time < '2026-03-11'";
        assert_eq!(counts(sql).await, [of("orders_placed", 6, &[0, 1, 4], 1)]);
        // Not put together from days, and for one customer.
        let sql = "SELECT active_buyers FROM orders WHERE customer = 'a'";
        assert_eq!(counts(sql).await, [of("buyers", 6, &[3, 0, 2], 1)]);
        // Each part of a ratio in the window.
        let parts = [of("revenue", 6, &[0, 1, 4], 1), of("orders_placed", 6, &[0, 1, 4], 1)];
        assert_eq!(counts("SELECT order_value_month_to_date FROM orders").await, parts);
        // March's month to date, shown in April.
        let sql = "SELECT date_trunc('month', metric_time), month_to_date_last_month \
                   FROM metrics.month_to_date_last_month \
                   WHERE metric_time >= '2026-04-01' AND metric_time < '2026-05-01'";
        let explained = explained(&client, sql).await;
        assert_eq!(super::explain::counts(&explained), [of("revenue", 6, &[0, 1, 1], 4)]);
        let role = &explained["metrics"][0]["rows"][0]["role"];
        assert_eq!(*role, json!(["1 month earlier", "since the beginning of the month"]));
    }
}

#[tokio::test]
async fn offsets_say_which_days_have_no_partner() {
    let (_server, canons) = both("traps/t12_offsets").await;
    for canon in &canons {
        let client = canon.connect("analyst").await.unwrap();
        let counts = async |question: &str| counts(&explained(&client, question).await);
        // All of February is March's.
        let sql = "SELECT date_trunc('month', metric_time), revenue_month_before FROM sales \
                   WHERE metric_time >= '2026-03-01' AND metric_time < '2026-04-01'";
        assert_eq!(counts(sql).await, [of("revenue", 35, &[31], 4)]);
        // March 31 has no day in April.
        let sql = "SELECT date_trunc('day', metric_time), revenue_month_before FROM sales \
                   WHERE metric_time >= '2026-04-01'";
        assert_eq!(counts(sql).await, [of("revenue", 35, &[4, 1], 30)]);
    }
}

#[tokio::test]
async fn snapshots_say_which_stand_for_their_series() {
    let (_server, canons) = both("traps/t6_snapshots").await;
    for canon in &canons {
        let client = canon.connect("analyst").await.unwrap();
        let counts = async |question: &str| counts(&explained(&client, question).await);
        assert_eq!(counts("SELECT on_hand FROM stocks").await, [of("on_hand", 5, &[0, 3], 2)]);
        let sql = "SELECT on_hand_first FROM stocks WHERE location = 'L1'";
        assert_eq!(counts(sql).await, [of("on_hand_first", 5, &[2, 2], 1)]);
        let sql = "SELECT on_hand_mean FROM stocks";
        assert_eq!(counts(sql).await, [of("on_hand_mean", 5, &[0, 0], 5)]);
        // On March 2 stand that day's count of L1, and the day before's of L2.
        let sql = "SELECT date_trunc('day', metric_time), on_hand_carried FROM stocks \
                   WHERE metric_time >= '2026-03-02' AND metric_time < '2026-03-03'";
        assert_eq!(counts(sql).await, [of("on_hand_carried", 5, &[0, 3], 2)]);
    }
}

#[tokio::test]
async fn filters_of_metrics_above_drop_rows() {
    let (_server, canons) = both("types/drill_across").await;
    for canon in &canons {
        let client = canon.connect("analyst").await.unwrap();
        let sql = "SELECT web_orders_per_visit FROM metrics.web_orders_per_visit";
        let explained = explained(&client, sql).await;
        let sides = [of("orders_placed", 4, &[0, 1], 3), of("visits_begun", 4, &[0, 1], 3)];
        assert_eq!(counts(&explained), sides);
        let side = &explained["metrics"][0]["rows"][1];
        assert_eq!(side["role"], json!(["as denominator"]));
        assert_eq!(side["dropped"][1]["what"], "channel = 'web'");
        let sql = "SELECT german_orders_per_visit FROM metrics.german_orders_per_visit \
                   WHERE metric_time < '2026-03-02'";
        let counts = counts(&super::explain::explained(&client, sql).await);
        assert_eq!(counts, [of("orders_placed", 4, &[3, 0], 1), of("visits_begun", 4, &[2, 1], 1)]);
    }
}

#[tokio::test]
async fn journeys_say_which_events_take_part() {
    let (_server, canons) = both("journeys").await;
    for canon in &canons {
        let client = canon.connect("analyst").await.unwrap();
        let counts = async |question: &str| counts(&explained(&client, question).await);
        // Visit 8 is a test, and nobody made visit 7, cart 7 and order 6. Order 1 came twice, order
        // 10 has no time.
        let visits = of("visit_count", 11, &[1, 1, 0], 9);
        let orders = of("order_count", 11, &[1, 1, 1], 8);
        let steps = [visits.clone(), of("cart_count", 7, &[1, 0], 6), orders.clone()];
        assert_eq!(counts("SELECT step, checkout FROM metrics.checkout").await, steps);
        let sides = [visits, orders];
        assert_eq!(counts("SELECT conversion FROM metrics.conversion").await, sides);
        let sql = "SELECT age, retention FROM metrics.retention";
        let sessions = of("session_count", 15, &[1, 0], 14);
        assert_eq!(counts(sql).await, [sessions.clone(), sessions.clone()]);
        // Metrics that are built on them.
        let sql = "SELECT orders_per_conversion FROM metrics.orders_per_conversion";
        let baskets = of("order_count", 11, &[1, 0], 10);
        let of_sides = [baskets, sides[0].clone(), sides[1].clone()];
        assert_eq!(counts(sql).await, of_sides);
        let sql = "SELECT second_month FROM metrics.second_month";
        assert_eq!(counts(sql).await, [sessions.clone(), sessions]);
        let sql = "SELECT cart_rate FROM metrics.cart_rate";
        assert_eq!(counts(sql).await, steps);
        let said = explained(&client, sql).await;
        assert_eq!(
            said["metrics"][0]["computed_as"],
            "checkout@1 where step = 2 over checkout@1 where step_name = 'visit_count', each added up first"
        );
    }
}

#[tokio::test]
async fn late_rows_and_those_that_had_not_come_in_are_counted_apart() {
    let (_server, canons) = both("traps/t5_late").await;
    for canon in &canons {
        let client = canon.connect("analyst").await.unwrap();
        let counts = async |question: &str| counts(&explained(&client, question).await);
        // Row 3 came six days after its day, three of which are for corrections.
        assert_eq!(counts("SELECT restated FROM sales").await, [of("restated", 4, &[0], 4)]);
        assert_eq!(counts("SELECT dropped FROM sales").await, [of("dropped", 4, &[0, 1], 3)]);
        // On March 4 in Berlin only rows 1 and 2 were known.
        client.simple_query("SET canon.as_of = '2026-03-04'").await.unwrap();
        assert_eq!(counts("SELECT dropped FROM sales").await, [of("dropped", 4, &[2, 0, 0], 2)]);
        client.simple_query("RESET canon.as_of").await.unwrap();
    }
}

#[tokio::test]
async fn says_which_version_and_why() {
    let (_server, canons) = both("traps/t8_pins").await;
    for canon in &canons {
        let client = canon.connect("analyst").await.unwrap();
        let chosen = async |question: &str| {
            let explained = explained(&client, question).await;
            let metrics = explained["metrics"].as_array().unwrap().clone();
            let said = |metric: &Value| json!([metric["version"], metric["chosen"]]);
            metrics.iter().map(said).collect::<Vec<_>>()
        };
        let newest = "the newest active version, as nobody asks for another";
        assert_eq!(chosen("SELECT revenue FROM orders").await, [json!(["2.0.0", newest])]);
        let named = json!(["1.0.0", "the question names revenue_v1"]);
        assert_eq!(chosen("SELECT revenue_v1 FROM orders").await, [named]);
        client.simple_query("SET canon.pins = 'revenue=1'").await.unwrap();
        let pinned = json!(["1.0.0", "canon.pins says 1"]);
        assert_eq!(chosen("SELECT revenue FROM orders").await, [pinned]);
    }
}

#[tokio::test]
async fn reads_as_lines() {
    let canon = Canon::embedded(&Fixture::load("shop")).await;
    let client = canon.connect("analyst").await.unwrap();
    let sql = "SELECT customer_country, web_revenue FROM orders WHERE channel <> 'app'";
    let lines = column(&client, &format!("EXPLAIN (CANON) {sql}")).await;
    insta::with_settings!({omit_expression => true, prepend_module_to_snapshot => false}, {
        insta::assert_snapshot!("explain_canon", lines.join("\n"));
    });
}

async fn document(client: &Client, explain: &str) -> Value {
    let rows = column(client, explain).await;
    assert_eq!(rows.len(), 1, "{explain}");
    serde_json::from_str(&rows[0]).unwrap()
}

/// The types of a plan's nodes, from the top.
fn node_types(plan: &Value, found: &mut Vec<String>) {
    found.push(plan["Node Type"].as_str().unwrap().to_owned());
    for child in plan["Plans"].as_array().into_iter().flatten() {
        assert!(child["Parent Relationship"].is_string());
        node_types(child, found);
    }
}

#[tokio::test]
async fn plans_are_documents_that_tools_parse() {
    let (_server, canons) = both("shop").await;
    let question = "SELECT channel, SUM(revenue) AS worth FROM orders GROUP BY 1 ORDER BY 2";
    for (canon, is_pushed) in canons.iter().zip([false, true]) {
        let client = canon.connect("analyst").await.unwrap();
        let explained = document(&client, &format!("EXPLAIN (FORMAT JSON) {question}")).await;
        let plan = &explained[0]["Plan"];
        assert_eq!(plan["Output"], json!(["channel", "worth"]));
        let mut types = Vec::new();
        node_types(plan, &mut types);
        match is_pushed {
            true => {
                assert_eq!(types, ["Foreign Scan"]);
                assert!(plan["Remote SQL"].as_str().unwrap().contains("GROUP BY"));
            }
            false => {
                assert_eq!(types, ["Sort", "Aggregate", "Subquery Scan", "Result", "Seq Scan"])
            }
        }
        assert!(explained[0]["Metrics"][0].as_str().unwrap().starts_with("revenue 1.0.0, "));
        assert_eq!(explained[0].get("Execution Time"), None);

        // As pgAdmin, DataGrip and drivers write it.
        let same = [
            "EXPLAIN (FORMAT JSON, ANALYZE OFF, VERBOSE OFF, COSTS OFF, TIMING OFF, BUFFERS OFF, \
             SUMMARY OFF, SETTINGS OFF, WAL OFF)",
            "explain (verbose, format 'json')",
        ];
        for explain in same {
            assert_eq!(document(&client, &format!("{explain} {question}")).await, explained);
        }
        let yaml = column(&client, &format!("EXPLAIN (FORMAT YAML) {question}")).await;
        assert_eq!(serde_yaml::from_str::<Value>(&yaml[0]).unwrap(), explained);
        let xml = column(&client, &format!("EXPLAIN (FORMAT XML) {question}")).await;
        assert!(xml[0].starts_with("<explain xmlns=\"http://www.postgresql.org/2009/explain\">"));
        assert!(xml[0].contains(&format!("<Node-Type>{}</Node-Type>", types[0])));

        let analyze = format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {question}");
        let measured = document(&client, &analyze).await;
        assert_eq!(measured[0]["Plan"]["Actual Rows"], 3);
        assert_eq!(measured[0]["Rows Read"], 11);
        assert!(measured[0]["Execution Time"].as_f64().unwrap() > 0.0);

        // Of the catalogue, and of rows that no table has.
        let of_catalog = "EXPLAIN (FORMAT JSON) SELECT oid, relname FROM pg_class";
        let explained = document(&client, of_catalog).await;
        assert_eq!(explained[0]["Plan"]["Output"], json!(["oid", "relname"]));
    }
}

#[tokio::test]
async fn prepared_statements_are_explained() {
    let canon = Canon::embedded(&Fixture::load("shop")).await;
    let client = canon.connect("analyst").await.unwrap();
    client
        .batch_execute("PREPARE p AS SELECT order_id FROM orders WHERE channel = $1")
        .await
        .unwrap();
    let explain = "EXPLAIN (VERBOSE, FORMAT JSON) EXECUTE p";
    for argument in ["'web'", "NULL", "lower('WEB')"] {
        let explained = document(&client, &format!("{explain}({argument})")).await;
        assert_eq!(explained[0]["Plan"]["Output"], json!(["order_id"]));
    }
    let lines = column(&client, "EXPLAIN EXECUTE p('web')").await;
    assert!(
        lines.iter().any(|line| line.contains("'web'") || line.contains("\"web\"")),
        "{lines:?}"
    );
    let described = client.prepare(&format!("{explain}('web')")).await.unwrap();
    assert_eq!(described.columns()[0].type_(), &Type::JSON);
    assert_eq!(described.columns()[0].name(), "QUERY PLAN");
    let lines = column(&client, "EXPLAIN ANALYZE VERBOSE EXECUTE p('web')").await;
    assert!(lines.contains(&"Rows returned: 6".to_owned()), "{lines:?}");
    for (sql, code) in [
        ("EXPLAIN EXECUTE p", "42601"),
        ("EXPLAIN EXECUTE nobody(1)", "26000"),
        ("EXPLAIN (FORMAT JSON) EXECUTE p('a') AND MORE", "42601"),
        ("EXPLAIN (FORMAT CSV) EXECUTE p('a')", "22023"),
        ("EXPLAIN (FORMAT CSV) SELECT 1", "22023"),
        ("EXPLAIN (ANALYZE maybe) SELECT 1", "22023"),
        ("EXPLAIN (WAL) SELECT 1", "22023"),
        ("EXPLAIN (GENERIC_PLAN) SELECT 1", "42601"),
        ("EXPLAIN (CANON, FORMAT XML) SELECT revenue FROM orders", "0A000"),
    ] {
        let error = client.simple_query(sql).await.unwrap_err();
        assert_eq!(error.code().map(|code| code.code()), Some(code), "{sql}");
    }
}
