//! What is noted of each statement.

use std::collections::VecDeque;
use std::fmt::Display;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::RunStats;

/// Statements kept in memory; the oldest goes when another comes.
const ENTRIES_MAX: usize = 10_000;
/// Characters of a statement's text that are kept.
const TEXT_MAX: usize = 2_000;

/// The newest statements.
#[derive(Debug, Default)]
pub struct QueryLog {
    entries: Mutex<VecDeque<Arc<Entry>>>,
}

/// A statement that has ended.
#[derive(Debug, Clone)]
pub struct Entry {
    pub query_id: String,
    pub at: DateTime<Utc>,
    pub role: String,
    pub application: String,
    pub text: String,
    /// `revenue@2.0.0`.
    pub versions: Vec<String>,
    pub rows: u64,
    pub rows_read: u64,
    pub bytes_read: u64,
    pub backend_us: u64,
    pub total_us: u64,
    /// None where it failed before the cache was asked.
    pub cache: Option<&'static str>,
    pub error: Option<String>,
}

impl QueryLog {
    /// The statements in memory, oldest first.
    pub fn entries(&self) -> Vec<Arc<Entry>> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.iter().cloned().collect()
    }

    fn add(&self, entry: Entry) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= ENTRIES_MAX {
            entries.pop_front();
        }
        entries.push_back(Arc::new(entry));
    }
}

/// A statement that runs. Its line is written when it ends, or when it is dropped.
#[derive(Debug)]
pub struct Statement {
    log: Arc<QueryLog>,
    query_id: String,
    at: DateTime<Utc>,
    begun: Instant,
    role: String,
    application: String,
    versions: Vec<String>,
    text: Arc<str>,
    stats: Arc<RunStats>,
    rows: u64,
    cache: Option<&'static str>,
    age: Duration,
    error: Option<String>,
    is_finished: bool,
}

impl Statement {
    pub fn begin(
        log: Arc<QueryLog>,
        role: String,
        application: String,
        versions: Vec<String>,
        text: Arc<str>,
    ) -> Self {
        Self {
            log,
            query_id: format!("canon-{}", uuid::Uuid::new_v4()),
            at: Utc::now(),
            begun: Instant::now(),
            role,
            application,
            versions,
            text,
            stats: Arc::default(),
            rows: 0,
            cache: None,
            age: Duration::ZERO,
            error: None,
            is_finished: false,
        }
    }

    pub fn query_id(&self) -> &str {
        &self.query_id
    }

    /// What the backend counts up.
    pub fn stats(&self) -> Arc<RunStats> {
        Arc::clone(&self.stats)
    }

    pub fn answered(&mut self, outcome: &'static str, age: Duration) {
        self.cache = Some(outcome);
        self.age = age;
    }

    pub fn sent(&mut self, rows: usize) {
        self.rows += u64::try_from(rows).unwrap_or(u64::MAX);
    }

    pub fn failed(&mut self, error: &impl Display) {
        self.error = Some(error.to_string());
    }

    pub fn finished(&mut self) {
        self.is_finished = true;
    }

    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }
}

impl Drop for Statement {
    fn drop(&mut self) {
        let us = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        if self.error.is_none() && !self.is_finished {
            self.error = Some("given up before its end".to_owned());
        }
        let entry = Entry {
            query_id: std::mem::take(&mut self.query_id),
            at: self.at,
            role: std::mem::take(&mut self.role),
            application: std::mem::take(&mut self.application),
            text: self.text.chars().take(TEXT_MAX).collect(),
            versions: std::mem::take(&mut self.versions),
            rows: self.rows,
            rows_read: self.stats.rows_read.load(Ordering::Relaxed),
            bytes_read: self.stats.bytes_read.load(Ordering::Relaxed),
            backend_us: self.stats.backend_us.load(Ordering::Relaxed),
            total_us: us(self.begun.elapsed()),
            cache: self.cache,
            error: self.error.take(),
        };
        tracing::info!(
            query_id = %entry.query_id,
            role = %entry.role,
            application = %entry.application,
            versions = %entry.versions.join(","),
            rows = entry.rows,
            age_ms = us(self.age) / 1_000,
            rows_read = entry.rows_read,
            bytes_read = entry.bytes_read,
            backend_us = entry.backend_us,
            total_us = entry.total_us,
            cache = entry.cache,
            error = entry.error.as_deref(),
            "statement ended"
        );
        self.log.add(entry);
    }
}
