//! `pg_timezone_names`: the time zones that settings and functions take.

use chrono::{Offset, TimeZone};
use chrono_tz::{OffsetComponents, OffsetName, TZ_VARIANTS, Tz};
use datafusion::arrow::array::{ArrayRef, IntervalMonthDayNanoArray};
use datafusion::arrow::datatypes::IntervalMonthDayNano;
use datafusion::error::Result;
use std::sync::Arc;

use super::definitions::Definition;
use super::rows::Rows;
use super::snapshot::CatalogSession;

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// Each zone with its offset at the statement's time.
pub(super) fn names(definition: &'static Definition, session: &CatalogSession) -> Result<Rows> {
    let now = session.now.naive_utc();
    let offsets: Vec<_> =
        TZ_VARIANTS.iter().map(|zone| zone.offset_from_utc_datetime(&now)).collect();
    let abbreviation = |at: &<Tz as TimeZone>::Offset| at.abbreviation().map(str::to_owned);
    let nanos = offsets.iter().map(|at| i64::from(at.fix().local_minus_utc()) * NANOS_PER_SECOND);
    let intervals = nanos.map(|nanos| Some(IntervalMonthDayNano::new(0, 0, nanos)));
    let intervals: ArrayRef = Arc::new(intervals.collect::<IntervalMonthDayNanoArray>());
    let mut rows = Rows::new(definition, TZ_VARIANTS.len());
    rows.texts("name", TZ_VARIANTS.iter().map(|zone| Some(zone.name())))?
        .texts("abbrev", offsets.iter().map(abbreviation))?
        .set("utc_offset", &intervals)?
        .bools("is_dst", offsets.iter().map(|at| !at.dst_offset().is_zero()))?;
    Ok(rows)
}
