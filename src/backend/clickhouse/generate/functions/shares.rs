//! Parts of a whole, by whole numbers alone: units of the last digit.

use datafusion::arrow::datatypes::DataType;

use super::super::literal::clickhouse_type;
use super::super::value::{Binding, Value};
use super::super::{NotPushable, Result};
use super::numeric::{REPEATED_MAX, decimal_of};
use super::{Call, Entry, Form};

#[rustfmt::skip]
pub(super) static ENTRIES: &[Entry] = &[
    Entry { name: "weighted_part", signature: "number, weight, sum of the weights, lines -> number", constants: &[],
        form: Form::Scalar(weighted_part),
        examples: &[
            ("weighted_part(10.00::numeric(18, 2), 1.0::numeric(18, 1), 3.0::numeric(18, 1), 3::int8)", Some("3.33")),
            ("weighted_part((-10.00)::numeric(18, 2), 2.0::numeric(18, 1), 3.0::numeric(18, 1), 3::int8)", Some("-6.67")),
            ("weighted_part(10.00::numeric(18, 2), 0.0::numeric(18, 1), 0.0::numeric(18, 1), 4::int8)", Some("2.50")),
            ("weighted_part(10.00::numeric(18, 2), 0.0::numeric(18, 1), 0.0::numeric(18, 1), 0::int8)", Some("10.00")),
            ("weighted_part(10::int8, 1::int8, 3::int8, 3::int8)", Some("3")),
            ("weighted_part(10.0001::numeric(38, 4), 1.0::numeric(18, 1), -4.0::numeric(18, 1), 3::int8)", Some("-2.5000")),
        ] },
    Entry { name: "part_with_rest", signature: "part, whole, sum of the parts, rank -> number", constants: &[],
        form: Form::Scalar(part_with_rest),
        examples: &[
            ("part_with_rest(3.33::numeric(18, 2), 10.00::numeric(18, 2), 9.99::numeric(18, 2), 1::int8)", Some("3.34")),
            ("part_with_rest(3.33::numeric(18, 2), 10.00::numeric(18, 2), 9.99::numeric(18, 2), 2::int8)", Some("3.33")),
        ] },
];

/// The whole numbers that a part is worked out in, by the digits of a product.
#[derive(Clone, Copy)]
struct Width {
    bits: u16,
    digits: u8,
}

impl Width {
    /// Products of up to 38 digits fit 128 bits, with half a divisor of as many added to them.
    fn of(digits: u8) -> Result<Self> {
        match digits {
            ..=38 => Ok(Self { bits: 128, digits: 38 }),
            39..=76 => Ok(Self { bits: 256, digits: 76 }),
            _ => Err(NotPushable::new("a part of a whole of more than 76 digits")),
        }
    }

    /// Whole units of a decimal's last digit, or a whole number.
    fn units(self, value: &Value) -> Result<String> {
        let Self { bits, digits } = self;
        match decimal_of(&value.data_type) {
            // Of this width exactly: the bytes are taken as they are.
            Some((_, scale)) => {
                let wide = format!("CAST({} AS Decimal({digits}, {scale}))", value.sql);
                Ok(format!("reinterpretAsInt{bits}({wide})"))
            }
            None if value.data_type.is_integer() => Ok(format!("toInt{bits}({})", value.sql)),
            None => Err(NotPushable::new(format!("a part of {}", value.data_type))),
        }
    }

    /// What a number in whole units is, as a value of a type.
    fn value(self, units: &str, data_type: &DataType) -> Result<String> {
        let number = match decimal_of(data_type) {
            Some((_, scale)) => {
                format!("reinterpret({units}, 'Decimal({}, {scale})')", self.digits)
            }
            None => units.to_owned(),
        };
        checked(&number, data_type)
    }
}

/// A number in a type that may be too narrow for it, which is an error then.
fn checked(number: &str, data_type: &DataType) -> Result<String> {
    let cast = if data_type.is_integer() { "accurateCast" } else { "CAST" };
    Ok(format!("{cast}({number}, '{}')", clickhouse_type(data_type)?))
}

/// Half away from zero: half of the divisor is added before the quotient is cut off.
fn weighted_part(call: &Call) -> Result<Value> {
    let (whole, weight, weights, lines) = (call.arg(0)?, call.arg(1)?, call.arg(2)?, call.arg(3)?);
    if [whole, weights].iter().any(|it| it.sql.len() > REPEATED_MAX) {
        return Err(NotPushable::new("a part of a long expression"));
    }
    let digits = |value: &Value| decimal_of(&value.data_type).map_or(19, |(digits, _)| digits);
    let width = Width::of(digits(whole).saturating_add(digits(weight)))?;
    let has_weights = format!("ifNull({}, 0) != 0", weights.at(Binding::Sum));
    let product =
        format!("{} * if({has_weights}, {}, 1)", width.units(whole)?, width.units(weight)?);
    let divisor = format!(
        "multiIf({has_weights}, {}, {} != 0, {}, 1)",
        width.units(weights)?,
        lines.at(Binding::Sum),
        width.units(lines)?
    );
    let half = format!("sign({product}) * intDiv(abs({divisor}), 2)");
    let part = format!("intDiv({product} + {half}, {divisor})");
    let sql = width.value(&part, &call.data_type)?;
    let value = Value::new(sql, call.data_type.clone(), false);
    Ok(value.computed_from([whole, weight, weights, lines]))
}

fn part_with_rest(call: &Call) -> Result<Value> {
    let (part, whole, parts, rank) = (call.arg(0)?, call.arg(1)?, call.arg(2)?, call.arg(3)?);
    let rest = format!("{} - {}", whole.at(Binding::Sum), parts.at(Binding::Product));
    let sum = format!("{} + if({} = 1, {rest}, 0)", part.at(Binding::Sum), rank.at(Binding::Sum));
    let value = Value::new(checked(&sum, &call.data_type)?, call.data_type.clone(), false);
    Ok(value.computed_from([part, whole, parts, rank]))
}
