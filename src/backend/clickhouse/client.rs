//! The HTTP client: connections, the settings of every statement, and killing what nobody waits for.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clickhouse::query::BytesCursor;
use clickhouse::{Client, Compression};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::runtime::Handle;
use tokio::sync::{OnceCell, Semaphore};

use super::errors::{Statement, backend_error, code_of, is_connect, is_network};
use super::types::string_literal;
use crate::backend::{BackendError, Run};

/// Where the server is and how long to wait for it.
#[derive(Clone)]
pub struct ClickHouseOptions {
    /// `http://…` or `https://…`, without a path.
    pub url: String,
    pub database: String,
    pub user: Option<String>,
    pub password: Option<String>,
    /// For a new connection.
    pub connect_timeout: Duration,
    /// Between two pieces of an answer that has begun; a server that says nothing for so long is
    /// taken for dead. The time to the first piece is bounded by the statement's deadline only,
    /// since an aggregate over much data is silent until it is done.
    pub idle_timeout: Duration,
    /// For statements without a deadline of their own: a backstop, since a client may take its time
    /// over a long result.
    pub statement_timeout: Duration,
}

impl ClickHouseOptions {
    /// With the usual times: 2 s, 2 min, 1 h.
    pub fn new(url: impl Into<String>, database: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            database: database.into(),
            user: None,
            password: None,
            connect_timeout: Duration::from_secs(2),
            idle_timeout: Duration::from_secs(120),
            statement_timeout: Duration::from_secs(3600),
        }
    }
}

impl fmt::Debug for ClickHouseOptions {
    /// Without the password, and without the user that a URL might hold.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.url.rsplit_once('@').map_or(self.url.as_str(), |(_, host)| host);
        f.debug_struct("ClickHouseOptions")
            .field("url", &host)
            .field("database", &self.database)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// Since 26.3: partitions are skipped only after FINAL has compared the rows of all.
const PRUNES_AFTER_FINAL: &str = "defer_partition_pruning_after_final";

/// The settings of every statement, so that its answer is what SQL and Postgres say, on a server
/// with whatever profile. Which default each one mends was measured with 26.7 and 26.9. A server that
/// doesn't know one is asked without it: what it would switch off isn't there either.
#[rustfmt::skip]
pub(super) const SETTINGS: &[(&str, &str)] = &[
    // Outer joins give NULL for a missing side, not 0 or ''.
    ("join_use_nulls", "1"),
    // sum, min, max, avg of no rows are NULL, not 0 or nan.
    ("aggregate_functions_null_for_empty", "1"),
    // Totals of ROLLUP and GROUPING SETS show NULL, not 0 or ''.
    ("group_by_use_nulls", "1"),
    // A name means the column, not an alias of the same SELECT.
    ("prefer_column_name_to_alias", "1"),
    // A cast of a nullable column stays nullable, instead of failing on NULL.
    ("cast_keep_nullable", "1"),
    // `x IN (…)` with NULLs follows SQL's three values.
    ("transform_null_in", "0"),
    // Bare set operations mean DISTINCT.
    ("union_default_mode", "DISTINCT"),
    ("except_default_mode", "DISTINCT"),
    ("intersect_default_mode", "DISTINCT"),
    // Dates beyond a type's range fail, instead of becoming 1970 or 2149.
    ("date_time_overflow_behavior", "throw"),
    // Decimals that don't fit fail, instead of wrapping.
    ("decimal_check_overflow", "1"),
    // Days begin where the statement says, whatever the server's zone is.
    ("session_timezone", "UTC"),
    // FINAL is where the statement says, sees a key's rows in all partitions, and comes before every
    // filter that could hide a newer row.
    ("final", "0"),
    ("analyzer_compatibility_apply_final_to_all_joined_tables", "0"),
    ("do_not_merge_across_partitions_select_final", "0"),
    ("optimize_move_to_prewhere_if_final", "0"),
    ("use_skip_indexes_if_final_exact_mode", "1"),
    (PRUNES_AFTER_FINAL, "1"),
    // A condition on both sides of a join stays a filter: made a join's key, a cast in it fails on a
    // nullable column (code 44).
    ("query_plan_merge_filter_into_join_condition", "0"),
    // A join takes each matching row.
    ("join_default_strictness", "ALL"),
    // A statement over a limit fails, instead of answering with what it had so far.
    ("timeout_overflow_mode", "throw"),
    ("read_overflow_mode", "throw"),
    ("result_overflow_mode", "throw"),
    ("group_by_overflow_mode", "throw"),
    ("sort_overflow_mode", "throw"),
    ("join_overflow_mode", "throw"),
    ("set_overflow_mode", "throw"),
    ("distinct_overflow_mode", "throw"),
    // A shard that can't be reached is an error, not a smaller number.
    ("skip_unavailable_shards", "0"),
    // Answers of ClickHouse's own cache have an age that canon wouldn't know.
    ("use_query_cache", "0"),
    // Nothing is written, and a statement ends when its connection does (a POST counts as
    // read-only only with readonly=2).
    ("readonly", "2"),
    ("cancel_http_readonly_queries_on_client_close", "1"),
    // The Arrow stream: defaults have changed between versions, so all are named. Strings as bytes,
    // since ClickHouse's may be no UTF-8; no compression, which costs more time than a local
    // network saves.
    ("output_format_arrow_string_as_string", "0"),
    ("output_format_arrow_low_cardinality_as_dictionary", "0"),
    ("output_format_arrow_fixed_string_as_fixed_byte_array", "1"),
    ("output_format_arrow_compression_method", "none"),
    ("output_format_arrow_unsupported_types_as_binary", "0"),
    ("output_format_arrow_date_as_uint16", "0"),
];

/// Statements of KILL QUERY at once; more wait, and those whose turn never comes are left to the
/// server's own time limit.
const KILLS_MAX: usize = 16;
const KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// For canon's own questions about tables and their freshness.
const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a connection may lie idle: less than ClickHouse's own 3 s of older versions, so that a
/// connection is seldom taken that the server is closing.
const POOL_IDLE: Duration = Duration::from_secs(2);
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);

/// Shared by all statements of a backend.
#[derive(Clone)]
pub(super) struct Connection(Arc<Inner>);

struct Inner {
    /// With those of [`SETTINGS`] that the server knows; found at the first statement.
    client: OnceCell<Client>,
    /// Without them: for KILL QUERY, which a read-only session may not send, and for look-ups.
    plain: Client,
    options: ClickHouseOptions,
    kills: Semaphore,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("options", &self.0.options).finish_non_exhaustive()
    }
}

/// An answer that has begun.
pub(super) struct Answer {
    pub(super) cursor: BytesCursor,
    /// The first bytes of the body; None where it is empty.
    pub(super) first: Option<Bytes>,
    pub(super) kill: KillOnDrop,
}

impl Connection {
    pub(super) fn new(options: ClickHouseOptions) -> Self {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_connect_timeout(Some(options.connect_timeout));
        connector.set_keepalive(Some(TCP_KEEPALIVE));
        // Nagle's algorithm and a delayed acknowledgement together cost 40 ms a statement.
        connector.set_nodelay(true);
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_webpki_roots()
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let http =
            HttpClient::builder(TokioExecutor::new()).pool_idle_timeout(POOL_IDLE).build(connector);
        let mut plain = Client::with_http_client(http)
            .with_url(&options.url)
            .with_database(&options.database)
            .with_compression(Compression::None);
        if let Some(user) = &options.user {
            plain = plain.with_user(user);
        }
        if let Some(password) = &options.password {
            plain = plain.with_password(password);
        }
        let kills = Semaphore::new(KILLS_MAX);
        Self(Arc::new(Inner { client: OnceCell::new(), plain, options, kills }))
    }

    pub(super) fn options(&self) -> &ClickHouseOptions {
        &self.0.options
    }

    async fn client(&self) -> Result<&Client, BackendError> {
        self.0
            .client
            .get_or_try_init(|| async {
                let names: Vec<&str> = SETTINGS.iter().map(|(name, _)| *name).collect();
                let places = vec!["?"; names.len()].join(", ");
                let sql = format!("SELECT name FROM system.settings WHERE name IN ({places})");
                let known = self.look_up::<String>(&sql, &names).await?;
                let known = |name: &str| known.iter().any(|known| known == name);
                let unknown: Vec<&&str> = names.iter().filter(|name| !known(name)).collect();
                if !unknown.is_empty() {
                    tracing::info!(?unknown, "settings that this clickhouse doesn't have");
                }
                let given = SETTINGS.iter().filter(|(name, _)| known(name));
                Ok(given.fold(self.0.plain.clone(), |client, (name, value)| {
                    client.with_setting(*name, *value)
                }))
            })
            .await
    }

    /// Whether FINAL sees all partitions, whatever the statement filters on.
    pub(super) async fn prunes_after_final(&self) -> Result<bool, BackendError> {
        Ok(self.client().await?.get_setting(PRUNES_AFTER_FINAL).is_some())
    }

    /// Sends a statement and waits until its answer begins. Dropping the future, or the answer
    /// before its end, kills the statement in the server.
    pub(super) async fn ask(
        &self,
        sql: &str,
        query_id: &str,
        tables: &[String],
        run: &Run,
    ) -> Result<Answer, BackendError> {
        let deadline = self.deadline(run);
        let asked = async {
            let client = self.client().await?;
            let asked = match self.ask_once(client, sql, query_id, run, deadline).await {
                // A connection that lay idle may have been closed by the server just then. Nothing
                // of the answer has been seen, and a SELECT may be asked twice.
                Err(error) if is_network(&error) && !is_connect(&error) => {
                    tracing::debug!(query_id, %error, "connection lost, asking again");
                    let again = format!("{query_id}-again");
                    self.ask_once(client, sql, &again, run, deadline).await
                }
                answer => answer,
            };
            asked.map_err(|error| backend_error(&error, Statement { query_id, tables }))
        };
        tokio::select! {
            biased;
            () = run.cancel.cancelled() => Err(BackendError::Cancelled),
            () = tokio::time::sleep_until(deadline.into()) => Err(BackendError::Timeout),
            answer = asked => answer,
        }
    }

    async fn ask_once(
        &self,
        client: &Client,
        sql: &str,
        query_id: &str,
        run: &Run,
        deadline: Instant,
    ) -> Result<Answer, clickhouse::error::Error> {
        let mut kill = KillOnDrop {
            connection: self.clone(),
            query_id: query_id.to_owned(),
            armed: true,
            runtime: Handle::current(),
        };
        // Whole seconds, rounded up: our own clock ends the statement first, the server's is for
        // the case that we are gone.
        let seconds = deadline.saturating_duration_since(Instant::now()).as_secs() + 1;
        let asked = client
            .query_raw(sql)
            .with_setting("query_id", query_id)
            .with_setting("log_comment", &run.log_comment)
            .with_setting("max_execution_time", seconds.to_string())
            .fetch_bytes("ArrowStream");
        let mut cursor = asked?;
        match cursor.next().await {
            Ok(first) => Ok(Answer { cursor, first, kill }),
            Err(error) => {
                kill.armed = is_network(&error) && !is_connect(&error);
                Err(error)
            }
        }
    }

    /// When a statement has to be over.
    pub(super) fn deadline(&self, run: &Run) -> Instant {
        run.deadline.unwrap_or_else(|| Instant::now() + self.0.options.statement_timeout)
    }

    /// Rows of one of canon's own look-ups in the system's tables; `binds` take the places of `?`.
    pub(super) async fn look_up<T: clickhouse::RowOwned + clickhouse::RowRead>(
        &self,
        sql: &str,
        binds: &[&str],
    ) -> Result<Vec<T>, BackendError> {
        let query = binds.iter().fold(self.0.plain.query(sql), |query, bind| query.bind(*bind));
        let seconds = LOOK_UP_TIMEOUT.as_secs().to_string();
        let query = query.with_setting("max_execution_time", seconds).with_setting("readonly", "2");
        let rows = async {
            match query.clone().fetch_all::<T>().await {
                Err(error) if is_network(&error) && !is_connect(&error) => query.fetch_all().await,
                rows => rows,
            }
        };
        let statement = Statement { query_id: "look-up", tables: &[] };
        match tokio::time::timeout(LOOK_UP_TIMEOUT, rows).await {
            Ok(rows) => rows.map_err(|error| backend_error(&error, statement)),
            Err(_) => Err(BackendError::Timeout),
        }
    }

    async fn kill(&self, query_id: &str) {
        let Ok(Ok(_permit)) = tokio::time::timeout(KILL_TIMEOUT, self.0.kills.acquire()).await
        else {
            tracing::debug!(query_id, "statement not killed: too many to kill");
            return;
        };
        let sql = format!("KILL QUERY WHERE query_id = {} ASYNC", string_literal(query_id));
        let killed = self.0.plain.query_raw(&sql).execute();
        match tokio::time::timeout(KILL_TIMEOUT, killed).await {
            Ok(Ok(())) => tracing::debug!(query_id, "statement killed"),
            Ok(Err(error)) => match &error {
                clickhouse::error::Error::BadResponse(text) => {
                    tracing::warn!(query_id, code = code_of(text), text, "statement not killed");
                }
                _ => tracing::debug!(query_id, %error, "statement not killed"),
            },
            Err(_) => tracing::debug!(query_id, "statement not killed in time"),
        }
    }
}

/// Kills a statement in the server when it is dropped before [`done`](Self::done).
///
/// Closing the connection alone does not end a statement that hasn't answered yet on every version;
/// and while another replica runs it for us, the server can't notice.
pub(super) struct KillOnDrop {
    connection: Connection,
    query_id: String,
    armed: bool,
    runtime: Handle,
}

impl KillOnDrop {
    /// The statement is over: nothing to kill.
    pub(super) fn done(&mut self) {
        self.armed = false;
    }
}

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        if self.armed {
            let connection = self.connection.clone();
            let query_id = std::mem::take(&mut self.query_id);
            self.runtime.spawn(async move { connection.kill(&query_id).await });
        }
    }
}
