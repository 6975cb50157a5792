//! `wall_clock(instant, zone)`: what a clock in a zone shows at an instant.

use std::sync::Arc;

use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::Tz;
use datafusion::arrow::array::{ArrayRef, AsArray, TimestampMicrosecondArray};
use datafusion::arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use datafusion::common::{ScalarValue, exec_err};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
    Volatility,
};

#[derive(Debug, PartialEq, Eq, Hash)]
struct WallClock {
    signature: Signature,
}

pub(crate) fn udf() -> Arc<ScalarUDF> {
    let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let exact = TypeSignature::Exact(vec![instant, DataType::Utf8]);
    let signature = Signature::new(exact, Volatility::Immutable);
    Arc::new(ScalarUDF::from(WallClock { signature }))
}

impl ScalarUDFImpl for WallClock {
    fn name(&self) -> &str {
        "wall_clock"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Timestamp(TimeUnit::Microsecond, None))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let zone = match &args.args[1] {
            ColumnarValue::Scalar(ScalarValue::Utf8(Some(name))) => name.parse::<Tz>().ok(),
            _ => None,
        };
        let Some(zone) = zone else { return exec_err!("wall_clock takes the name of a time zone") };
        let instants = args.args[0].to_array(args.number_rows)?;
        let instants = instants.as_primitive::<TimestampMicrosecondType>();
        let walls: TimestampMicrosecondArray = instants.unary_opt(|us| wall(us, zone));
        let walls: ArrayRef = Arc::new(walls);
        match &args.args[0] {
            ColumnarValue::Scalar(_) => {
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&walls, 0)?))
            }
            ColumnarValue::Array(_) => Ok(ColumnarValue::Array(walls)),
        }
    }
}

fn wall(us: i64, zone: Tz) -> Option<i64> {
    let instant = DateTime::from_timestamp_micros(us)?;
    let offset = zone.offset_from_utc_datetime(&instant.naive_utc()).fix();
    us.checked_add(i64::from(offset.local_minus_utc()) * 1_000_000)
}
