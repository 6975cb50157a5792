//! From SQL text to the statement that ClickHouse is sent.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use canon::backend::Backend;
use canon::backend::clickhouse::{ClickHouse as Source, ClickHouseOptions};
use canon::cache::Cache;
use canon::model::check::check;
use canon::model::load;
use canon::session::{
    Definitions, DefinitionsState, Engine, QueryEngine, QueryText, RequestContext,
};
use canon::sql::parse::{self, Statement};
use canon::sql::settings::SETTINGS;
use datafusion::arrow::array::{AsArray, RecordBatch};
use futures::TryStreamExt;
use tokio_util::sync::CancellationToken;

use super::clickhouse::{self, ClickHouse};
use super::definitions::demo_metrics;
use super::report::{self, Budget};
use super::stages::{Stages, WHOLE};
use crate::Result;

const RUNS: usize = 300;
const WARM_UP: usize = 30;
const REPEATS: usize = 3_000;

/// Each with a place for a number that makes its text another one.
const QUESTIONS: [(&str, &str); 5] = [
    (
        "one measure by one column",
        "SELECT channel, MEASURE(revenue) AS r FROM orders WHERE metric_time >= TIMESTAMP '2026-01-01 00:00:00.{}' GROUP BY channel",
    ),
    (
        "by month, filtered, sorted",
        "SELECT date_trunc('month', metric_time) AS month, MEASURE(revenue) AS r FROM orders WHERE metric_time >= TIMESTAMP '2026-01-01 00:00:00.{}' GROUP BY 1 ORDER BY 1 LIMIT 100",
    ),
    (
        "ratio, joined dimension, HAVING",
        "SELECT customer_country, MEASURE(average_order_value) AS aov FROM orders WHERE metric_time >= TIMESTAMP '2026-01-01 00:00:00.{}' GROUP BY customer_country HAVING MEASURE(orders_completed) > 10 ORDER BY aov DESC",
    ),
    (
        "three measures, two dimensions",
        "SELECT channel, location_city, MEASURE(revenue) AS r, MEASURE(orders_completed) AS n, MEASURE(discount_rate) AS d FROM orders WHERE metric_time >= TIMESTAMP '2026-01-01 00:00:00.{}' GROUP BY channel, location_city",
    ),
    (
        "as Metabase nests it",
        "SELECT source.country, source.month, SUM(source.revenue) AS r FROM (SELECT orders.customer_country AS country, date_trunc('month', orders.metric_time) AS month, orders.revenue AS revenue FROM orders WHERE orders.metric_time >= TIMESTAMP '2026-01-01 00:00:00.{}') AS source GROUP BY source.country, source.month ORDER BY source.month ASC",
    ),
];

/// canon's engine in this process.
pub(crate) struct Planner {
    engine: QueryEngine,
    context: RequestContext,
}

impl Planner {
    /// Over the demo's definitions and tables.
    pub(crate) async fn over(server: &ClickHouse) -> Result<Self> {
        Self::of(server, &demo_metrics()).await
    }

    /// Over a folder of definitions.
    pub(crate) async fn of(server: &ClickHouse, metrics: &Path) -> Result<Self> {
        let options = ClickHouseOptions {
            user: Some(server.user.clone()),
            password: Some(server.password.clone()),
            ..ClickHouseOptions::new(&server.url, clickhouse::DATABASE)
        };
        let backend: Arc<dyn Backend> = Arc::new(Source::new(options)?);
        let read = load::read(metrics)?;
        let mut sources = BTreeMap::new();
        for table in read.tables() {
            if let Some(columns) = backend.describe(&table).await? {
                sources.insert(table, columns);
            }
        }
        let model = check(&read, &sources).model.ok_or("the definitions have errors")?;
        let cache = Cache::default();
        let state = Arc::new(DefinitionsState::new(Definitions::of(model, &cache)));
        Ok(Self { engine: QueryEngine::new(state, backend, cache), context: context() })
    }

    /// Text to a plan that can be sent; the one of the plan cache where the text was seen before.
    async fn plan(&self, sql: &str) -> Result<()> {
        self.engine.prepare(&query(sql)?, &[], &self.context).await?;
        Ok(())
    }

    /// The statement that a question is to ClickHouse.
    pub(crate) async fn pushed(&self, sql: &str) -> Result<String> {
        let prepared =
            self.engine.prepare(&query(&format!("EXPLAIN {sql}"))?, &[], &self.context).await?;
        let token = CancellationToken::new();
        let rows = self.engine.execute(&prepared, Vec::new(), &self.context, token).await?;
        let batches: Vec<RecordBatch> = rows.batches.try_collect().await?;
        let lines = batches.iter().flat_map(|batch| batch.column(0).as_string::<i32>().iter());
        let mut sent = lines.flatten().skip_while(|line| !line.starts_with("Sent to "));
        let statement: Vec<&str> = sent.by_ref().skip(1).map(str::trim_start).collect();
        ensure(!statement.is_empty(), "nothing is pushed")?;
        ensure(!statement.iter().any(|line| line.starts_with("Sent to ")), "several statements")?;
        Ok(statement.join("\n"))
    }
}

/// The parsed text, as a session hands it over.
fn query(sql: &str) -> Result<QueryText> {
    match parse::parse(sql)?.pop() {
        Some(Statement::Query(statement)) => {
            Ok(QueryText { statement: *statement, text: sql.into() })
        }
        _ => Err("not one query".into()),
    }
}

fn context() -> RequestContext {
    let settings = SETTINGS.iter();
    let settings = settings.map(|it| (it.name.to_lowercase(), it.default.to_owned())).collect();
    RequestContext {
        role: "bench".to_owned(),
        database: "canon".to_owned(),
        application_name: "bench".to_owned(),
        backend_pid: 0,
        settings: Arc::new(settings),
        statement_timeout: None,
        changes: Default::default(),
        seen: Default::default(),
    }
}

pub(crate) async fn run() -> Result<()> {
    let server = ClickHouse::start()?;
    let planner = Planner::over(&server).await?;
    report::part("planning: SQL text to ClickHouse SQL, over the demo's definitions");
    for (name, question) in QUESTIONS {
        let text = |number: usize| question.replace("{}", &format!("{number:06}"));
        for number in 0..WARM_UP {
            planner.plan(&text(number)).await.map_err(|error| format!("{name}: {error}"))?;
        }
        let mut new = Vec::new();
        for number in WARM_UP..WARM_UP + RUNS {
            let text = text(number);
            new.push(timed(planner.plan(&text)).await?);
        }
        let mut repeated = Vec::new();
        for _ in 0..REPEATS {
            let text = text(0);
            repeated.push(timed(planner.plan(&text)).await?);
        }
        let (new, repeated) = (report::median(&mut new), report::median(&mut repeated));
        report::judged(&format!("{name}: new"), report::us(new), " us", Budget::Below(1_000.0));
        let what = format!("{name}: repeated");
        report::judged(&what, report::us(repeated), " us", Budget::Below(50.0));
        stages(&planner, text, RUNS + WARM_UP).await?;
    }
    Ok(())
}

async fn timed(work: impl Future<Output = Result<()>>) -> Result<Duration> {
    let begun = Instant::now();
    work.await?;
    Ok(begun.elapsed())
}

/// The same again with the spans of the stages listened to, which costs something itself.
async fn stages(planner: &Planner, text: impl Fn(usize) -> String, first: usize) -> Result<()> {
    let stages = Stages::default();
    let listening = stages.listen();
    for number in first..first + RUNS {
        let text = text(number);
        let whole = tracing::debug_span!("whole");
        let parsed = tracing::debug_span!("parse").in_scope(|| query(&text))?;
        let planned = planner.engine.prepare(&parsed, &[], &planner.context);
        tracing::Instrument::instrument(planned, whole).await?;
    }
    drop(listening);
    let mut shown = Vec::new();
    let mut named = Duration::ZERO;
    let taken = stages.taken();
    for (stage, took) in &taken {
        let each = report::us(*took) / f64::from(u32::try_from(RUNS)?);
        if *stage != WHOLE {
            named += *took;
            shown.push(format!("{stage} {each:.0}"));
        }
    }
    println!("    stages, mean us: {}", shown.join(", "));
    Ok(())
}

pub(crate) fn ensure(holds: bool, otherwise: &str) -> Result<()> {
    if holds { Ok(()) } else { Err(otherwise.into()) }
}
