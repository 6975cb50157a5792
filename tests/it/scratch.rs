use std::collections::HashMap;
use canon::functions;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::{dialect::PostgreSqlDialect, parser::Parser};
use datafusion::logical_expr::*;
use datafusion::common::DFSchema;

#[tokio::test]
async fn scratch() {
    let Ok(path) = std::env::var("SCRATCH") else { return };
    let _ = HashMap::<u8, u8>::new();
    for line in std::fs::read_to_string(path).unwrap().lines() {
        if line.trim().is_empty() { continue; }
        let out = run(line).await;
        println!("{}", out.unwrap_or_else(|e| format!("ERROR {}", e.to_string().lines().next().unwrap_or(""))));
    }
}

async fn run(text: &str) -> datafusion::error::Result<String> {
    let expr = Parser::new(&PostgreSqlDialect {}).try_with_sql(text).unwrap().parse_expr()
        .map_err(|e| datafusion::error::DataFusionError::Plan(e.to_string()))?;
    let (expr, data_type) = functions::compile(expr, &DFSchema::empty())?;
    let plan = LogicalPlanBuilder::empty(true).project(vec![expr])?.build()?;
    let ctx = SessionContext::new();
    let batches = ctx.execute_logical_plan(plan).await?.collect().await?;
    let options = FormatOptions::default().with_null("NULL");
    let col = batches[0].column(0);
    let f = ArrayFormatter::try_new(col, &options)?;
    Ok(format!("{}\t{data_type}", f.value(0)))
}
