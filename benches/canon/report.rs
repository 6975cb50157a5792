//! Figures as lines of text: what, how much, beside which budget.

use std::time::Duration;

/// What a figure should be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Budget {
    /// In the figure's own unit.
    Below(f64),
    AtLeast(f64),
}

impl Budget {
    fn is_kept(self, value: f64) -> bool {
        match self {
            Self::Below(limit) => value <= limit,
            Self::AtLeast(limit) => value >= limit,
        }
    }
}

pub(crate) fn machine() {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let profile = if cfg!(debug_assertions) { "dev (its times say little)" } else { "release" };
    let now = chrono::Utc::now().format("%Y-%m-%d %H:%M UTC");
    println!("canon {}, profile {profile}, {cores} cores, {now}", env!("CARGO_PKG_VERSION"));
}

pub(crate) fn part(title: &str) {
    println!("\n{title}");
}

/// A figure without a budget.
pub(crate) fn figure(what: &str, value: &str) {
    println!("  {what:<58} {value:>20}");
}

/// A figure and its budget.
pub(crate) fn judged(what: &str, value: f64, unit: &str, budget: Budget) {
    let limit = match budget {
        Budget::Below(limit) => format!("at most {limit}{unit}"),
        Budget::AtLeast(limit) => format!("at least {limit}{unit}"),
    };
    let verdict = if budget.is_kept(value) { "kept" } else { "MISSED" };
    let value = format!("{value:.2}{unit}");
    println!("  {what:<58} {value:>20}   budget {limit:<18} {verdict}");
}

/// The value below which a share of the samples lies; zero of none.
pub(crate) fn quantile(samples: &mut [Duration], share: f64) -> Duration {
    samples.sort_unstable();
    let last = samples.len().saturating_sub(1);
    // Lengths and shares are small and positive.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    let index = (last as f64 * share).round() as usize;
    samples.get(index).copied().unwrap_or_default()
}

pub(crate) fn median(samples: &mut [Duration]) -> Duration {
    quantile(samples, 0.5)
}

/// The middle one; zero of none.
pub(crate) fn median_of(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

pub(crate) fn us(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

pub(crate) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
