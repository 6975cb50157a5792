//! Expected texts and bytes are PostgreSQL 15's own, from its text casts and `…_send` functions.

use std::sync::Arc;

use datafusion::arrow::array::*;
use datafusion::arrow::datatypes::*;

use super::*;
use crate::sql::timezone::TimeZone;
use crate::sql::types::PgType;

/// Each value of a column as it goes out; None is NULL.
fn encoded(
    array: ArrayRef,
    pg_type: PgType,
    format: Format,
    zone: &str,
) -> Result<Vec<Option<Vec<u8>>>, QueryError> {
    let schema = Schema::new(vec![Field::new("c", array.data_type().clone(), true)]);
    let batch = RecordBatch::try_new(Arc::new(schema), vec![array]).unwrap();
    let columns = [Column::new("c", pg_type)];
    let style = Style::plain(TimeZone::parse(zone).unwrap());
    let layout =
        Layout { columns: &columns, formats: &[format], style: &style, form: Form::DataRow };
    let mut encoder = BatchEncoder::new(&batch, &layout)?;
    let mut values = Vec::new();
    for row in 0..batch.num_rows() {
        let mut out = b"before".to_vec();
        encoder.write_row(row, &mut out)?;
        let message = &out[6..];
        assert_eq!(message[0], b'D');
        let length = u32::from_be_bytes(message[1..5].try_into().unwrap());
        assert_eq!(length as usize, message.len() - 1);
        assert_eq!(message[5..7], [0, 1]);
        let value = message.get(11..).unwrap().to_vec();
        match i32::from_be_bytes(message[7..11].try_into().unwrap()) {
            -1 => values.push(None),
            length => {
                assert_eq!(usize::try_from(length).unwrap(), value.len());
                values.push(Some(value));
            }
        }
    }
    Ok(values)
}

fn texts(array: ArrayRef, pg_type: PgType, zone: &str) -> Vec<String> {
    let values = encoded(array, pg_type, Format::Text, zone).unwrap();
    let text = |value: Option<Vec<u8>>| {
        value.map_or("NULL!".to_owned(), |value| String::from_utf8(value).unwrap())
    };
    values.into_iter().map(text).collect()
}

fn hex(array: ArrayRef, pg_type: PgType) -> Vec<String> {
    let values = encoded(array, pg_type, Format::Binary, "UTC").unwrap();
    let text = |value: Option<Vec<u8>>| {
        let bytes = value.unwrap_or_default();
        bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    values.into_iter().map(text).collect()
}

fn sqlstate(array: ArrayRef, pg_type: PgType, format: Format) -> &'static str {
    use crate::error::ClientError;
    encoded(array, pg_type, format, "UTC").map_or_else(|error| error.sqlstate(), |_| "00000")
}

#[test]
fn float8() {
    let cases = [
        (1e15, "1e+15", "430c6bf526340000"),
        (1e14, "100000000000000", "42d6bcc41e900000"),
        (123_456_789_012_345.0, "123456789012345", "42dc12218377de40"),
        (0.0001, "0.0001", "3f1a36e2eb1c432d"),
        (0.00001, "1e-05", "3ee4f8b588e368f1"),
        (1.5e300, "1.5e+300", "7e41eb2d66005835"),
        (5e-324, "5e-324", "0000000000000001"),
        (1e16, "1e+16", "4341c37937e08000"),
        (100.0, "100", "4059000000000000"),
        (-0.0, "-0", "8000000000000000"),
        (f64::INFINITY, "Infinity", "7ff0000000000000"),
        (f64::NEG_INFINITY, "-Infinity", "fff0000000000000"),
        (4_567_890_123_456_789.0, "4.567890123456789e+15", "43303a78cc2e8115"),
        (f64::MAX, "1.7976931348623157e+308", "7fefffffffffffff"),
        (-123_456.789, "-123456.789", "c0fe240c9fbe76c9"),
    ];
    let array = || Arc::new(Float64Array::from_iter_values(cases.map(|(value, ..)| value)));
    assert_eq!(texts(array(), PgType::Float8, "UTC"), cases.map(|(_, text, _)| text));
    assert_eq!(hex(array(), PgType::Float8), cases.map(|(.., hex)| hex));
    let nan = Arc::new(Float64Array::from(vec![f64::NAN]));
    assert_eq!(texts(nan, PgType::Float8, "UTC"), ["NaN"]);
}

#[test]
fn float4() {
    let cases = [
        (1e6, "1e+06"),
        (999_999.0, "999999"),
        (1_234_567.0, "1.234567e+06"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (0.1, "0.1"),
        (3.4e38, "3.4e+38"),
        (1e-45, "1e-45"),
        (16_777_216.0, "1.6777216e+07"),
    ];
    let array = Arc::new(Float32Array::from_iter_values(cases.map(|(value, _)| value)));
    assert_eq!(texts(array, PgType::Float4, "UTC"), cases.map(|(_, text)| text));
}

#[test]
fn numeric() {
    let cases: [(i128, i8, &str, &str); 13] = [
        (0, 2, "0.00", "0000000000000002"),
        (150, 2, "1.50", "000200000000000200011388"),
        (-5, 2, "-0.05", "0001ffff4000000201f4"),
        (123_456_789_012, 4, "12345678.9012", "000300010000000404d2162e2334"),
        (10_000, 0, "10000", "00010001000000000001"),
        (100_000_000, 0, "100000000", "00010002000000000001"),
        (1, 4, "0.0001", "0001ffff000000040001"),
        (1, 5, "0.00001", "0001fffe0000000503e8"),
        (
            99_999_999_999_999_999_999_999_999_999_999_999_999,
            0,
            "99999999999999999999999999999999999999",
            "000a0009000000000063270f270f270f270f270f270f270f270f270f",
        ),
        (
            -12_345_678_901_234_567_890_123_456_789_012_345_678,
            10,
            "-1234567890123456789012345678.9012345678",
            "000a00064000000a04d2162e23340d801ed204d2162e23340d801e78",
        ),
        (1, 38, "0.00000000000000000000000000000000000001", "0001fff6000000260064"),
        (99_999_999, 4, "9999.9999", "0002000000000004270f270f"),
        (123_456, 1, "12345.6", "000300010000000100010929" /* weight 1 */),
    ];
    for (unscaled, scale, text, bytes) in cases {
        let array = || {
            let array = Decimal128Array::from(vec![unscaled]);
            Arc::new(array.with_precision_and_scale(38, scale).unwrap())
        };
        let pg_type = PgType::Numeric(Some((38, scale)));
        assert_eq!(texts(array(), pg_type.clone(), "UTC"), [text]);
        let shown = hex(array(), pg_type.clone());
        assert!(shown[0].starts_with(bytes), "{text}: {shown:?}");
        let wide = Decimal256Array::from(vec![i256::from_i128(unscaled)]);
        let wide = Arc::new(wide.with_precision_and_scale(76, scale).unwrap());
        assert_eq!(texts(wide.clone(), pg_type.clone(), "UTC"), [text]);
        assert_eq!(hex(wide, pg_type), shown);
    }
    let thousands = Decimal128Array::from(vec![12, 0]).with_precision_and_scale(5, -3).unwrap();
    let pg_type = PgType::Numeric(Some((8, 0)));
    assert_eq!(texts(Arc::new(thousands.clone()), pg_type.clone(), "UTC"), ["12000", "0"]);
    assert_eq!(hex(Arc::new(thousands), pg_type)[0], "000200010000000000010".to_owned() + "7d0");
    let huge = Arc::new(UInt64Array::from(vec![u64::MAX]));
    assert_eq!(texts(huge.clone(), PgType::Numeric(None), "UTC"), ["18446744073709551615"]);
    assert_eq!(hex(huge, PgType::Numeric(None)), ["000500040000000007341a5802e103bb064f"]);
}

#[test]
fn integers_have_the_width_that_was_announced() {
    let array = || Arc::new(Int64Array::from(vec![Some(7), None, Some(-1)]));
    assert_eq!(texts(array(), PgType::Int8, "UTC"), ["7", "NULL!", "-1"]);
    assert_eq!(hex(array(), PgType::Int8), ["0000000000000007", "", "ffffffffffffffff"]);
    assert_eq!(hex(array(), PgType::Int4), ["00000007", "", "ffffffff"]);
    assert_eq!(hex(array(), PgType::Int2), ["0007", "", "ffff"]);
    assert_eq!(sqlstate(array(), PgType::Oid, Format::Binary), "22003");
    let oid = Arc::new(Int64Array::from(vec![4_294_967_295]));
    assert_eq!(hex(oid, PgType::Oid), ["ffffffff"]);
    let small = Arc::new(UInt8Array::from(vec![255]));
    assert_eq!(hex(small, PgType::Int2), ["00ff"]);
    let wide = Arc::new(Int64Array::from(vec![i64::MAX]));
    assert_eq!(sqlstate(wide, PgType::Int4, Format::Binary), "22003");
}

fn micros(texts: &[&str]) -> Vec<i64> {
    let at = |text: &&str| {
        let value = crate::sql::value::from_text(&PgType::Timestamp, Some(text), &TimeZone::UTC);
        match value.unwrap() {
            datafusion::common::ScalarValue::TimestampMicrosecond(Some(micros), _) => micros,
            other => panic!("{other:?}"),
        }
    };
    texts.iter().map(at).collect()
}

#[test]
fn timestamps() {
    let cases = [
        ("2026-03-01 10:00:00.123456", "0002eef24d51ca40"),
        ("2026-03-01 10:00:00.5", "0002eef24d578920"),
        ("0044-03-15 12:00:00 BC", "ff1af9e8fb46d000"),
        ("12345-01-01 00:00:00", "0487cea306fec000"),
        ("1969-12-31 23:59:59.999999", "fffca2fec4c81fff"),
        ("infinity", "7fffffffffffffff"),
        ("-infinity", "8000000000000000"),
        ("0001-01-01 00:00:00", "ff1fe2ffc59c6000"),
    ];
    let values = micros(&cases.map(|(text, _)| text));
    let array = || Arc::new(TimestampMicrosecondArray::from(values.clone()));
    assert_eq!(texts(array(), PgType::Timestamp, "Asia/Tokyo"), cases.map(|(text, _)| text));
    assert_eq!(hex(array(), PgType::Timestamp), cases.map(|(_, hex)| hex));
}

#[test]
fn timestamps_of_every_unit() {
    let seconds = Arc::new(TimestampSecondArray::from(vec![1, i64::MAX, i64::MIN]));
    assert_eq!(
        texts(seconds, PgType::Timestamp, "UTC"),
        ["1970-01-01 00:00:01", "infinity", "-infinity",]
    );
    let millis = Arc::new(TimestampMillisecondArray::from(vec![-1]));
    assert_eq!(texts(millis, PgType::Timestamp, "UTC"), ["1969-12-31 23:59:59.999"]);
    let nanos = Arc::new(TimestampNanosecondArray::from(vec![1_999, -1]));
    assert_eq!(
        texts(nanos.clone(), PgType::Timestamp, "UTC"),
        ["1970-01-01 00:00:00.000001", "1969-12-31 23:59:59.999999",]
    );
    let aware = Arc::new(TimestampNanosecondArray::from(vec![0]).with_timezone("Asia/Tokyo"));
    assert_eq!(texts(aware, PgType::Timestamptz, "UTC"), ["1970-01-01 00:00:00+00"]);
}

#[test]
fn timestamptz_is_shown_in_the_zone_of_the_session() {
    let values = micros(&[
        "2026-03-01 10:00:00.123456",
        "2026-07-01 10:00:00",
        "2026-10-25 00:30:00",
        "2026-10-25 01:30:00",
        "1850-01-01",
        "infinity",
    ]);
    let array = || Arc::new(TimestampMicrosecondArray::from(values.clone()).with_timezone("UTC"));
    assert_eq!(
        texts(array(), PgType::Timestamptz, "Europe/Berlin"),
        [
            "2026-03-01 11:00:00.123456+01",
            "2026-07-01 12:00:00+02",
            "2026-10-25 02:30:00+02",
            "2026-10-25 02:30:00+01",
            "1850-01-01 00:53:28+00:53:28",
            "infinity",
        ]
    );
    assert_eq!(
        texts(array(), PgType::Timestamptz, "Asia/Kolkata")[0],
        "2026-03-01 15:30:00.123456+05:30"
    );
    assert_eq!(
        texts(array(), PgType::Timestamptz, "<-05:30>+05:30")[0],
        "2026-03-01 04:30:00.123456-05:30"
    );
}

#[test]
fn intervals() {
    const HOUR: i64 = 3_600_000_000_000;
    let cases = [
        (14, 3, 4 * HOUR + 306_789_000_000, "1 year 2 mons 3 days 04:05:06.789"),
        (-1, 0, 0, "-1 mons"),
        (1, -1, 0, "1 mon -1 days"),
        (0, -1, 4 * HOUR + 306_000_000_000, "-1 days +04:05:06"),
        (0, 0, 0, "00:00:00"),
        (0, 0, -500_000_000, "-00:00:00.5"),
        (0, 1, -1_000_000_000, "1 day -00:00:01"),
        (-13, 0, 0, "-1 years -1 mons"),
        (1, 2, -3 * HOUR, "1 mon 2 days -03:00:00"),
        (0, 0, 100 * HOUR, "100:00:00"),
        (-12, 1, 0, "-1 years +1 day"),
        (-10, 0, 0, "-10 mons"),
    ];
    let array = || {
        let values =
            cases.map(|(months, days, nanos, _)| IntervalMonthDayNano::new(months, days, nanos));
        Arc::new(IntervalMonthDayNanoArray::from(values.to_vec()))
    };
    assert_eq!(texts(array(), PgType::Interval, "UTC"), cases.map(|(.., text)| text));
    assert_eq!(hex(array(), PgType::Interval)[0], "000000036c97ca88000000030000000e");
    let duration = Arc::new(DurationMicrosecondArray::from(vec![900_000_000]));
    assert_eq!(texts(duration, PgType::Interval, "UTC"), ["00:15:00"]);
}

#[test]
fn dates_and_times() {
    let cases = [
        (20_513, "2026-03-01", "00002554"),
        (-734_974 + 3_600, "", ""),
        (i32::MAX, "infinity", "7fffffff"),
        (0, "1970-01-01", "ffffd533"),
    ];
    let array = || Arc::new(Date32Array::from_iter_values(cases.map(|(days, ..)| days)));
    for (index, (_, text, bytes)) in cases.iter().enumerate().filter(|(_, case)| !case.1.is_empty())
    {
        assert_eq!(texts(array(), PgType::Date, "UTC")[index], *text);
        assert_eq!(hex(array(), PgType::Date)[index], *bytes);
    }
    let caesar = micros(&["0044-03-15 BC"])[0] / 86_400_000_000;
    let caesar = || Arc::new(Date32Array::from(vec![i32::try_from(caesar).unwrap()]));
    assert_eq!(texts(caesar(), PgType::Date, "UTC"), ["0044-03-15 BC"]);
    assert_eq!(hex(caesar(), PgType::Date), ["fff49d7b"]);
    let time = || Arc::new(Time64MicrosecondArray::from(vec![36_000_250_000]));
    assert_eq!(texts(time(), PgType::Time, "UTC"), ["10:00:00.25"]);
    assert_eq!(hex(time(), PgType::Time), ["0000000861c83890"]);
    let seconds = Arc::new(Time32SecondArray::from(vec![1]));
    assert_eq!(texts(seconds, PgType::Time, "UTC"), ["00:00:01"]);
}

#[test]
fn texts_and_their_relatives() {
    let array = || Arc::new(StringArray::from(vec![Some("ünï"), Some(""), None]));
    for pg_type in [PgType::Text, PgType::Varchar, PgType::Name, PgType::Json, PgType::Unknown] {
        assert_eq!(texts(array(), pg_type.clone(), "UTC"), ["ünï", "", "NULL!"]);
        assert_eq!(hex(array(), pg_type), ["c3bc6ec3af", "", ""]);
    }
    assert_eq!(texts(array(), PgType::Char, "UTC"), ["ü", "", "NULL!"]);
    let view = Arc::new(StringViewArray::from(vec!["a text that is longer than a view holds"]));
    assert_eq!(texts(view, PgType::Text, "UTC")[0].len(), 39);
    let large = Arc::new(LargeStringArray::from(vec!["x"]));
    assert_eq!(texts(large, PgType::Text, "UTC"), ["x"]);
    let keys = Int8Array::from(vec![Some(1), Some(0), None]);
    let dictionary: DictionaryArray<Int8Type> =
        DictionaryArray::new(keys, Arc::new(StringArray::from(vec!["a", "b"])));
    assert_eq!(texts(Arc::new(dictionary), PgType::Text, "UTC"), ["b", "a", "NULL!"]);
    let number = || Arc::new(Float64Array::from(vec![1.5]));
    assert_eq!(texts(number(), PgType::Text, "UTC"), ["1.5"]);
    assert_eq!(hex(number(), PgType::Text), ["312e35"]);
    assert_eq!(texts(Arc::new(NullArray::new(1)), PgType::Int4, "UTC"), ["NULL!"]);
    let flags = || Arc::new(BooleanArray::from(vec![true, false]));
    assert_eq!(texts(flags(), PgType::Bool, "UTC"), ["t", "f"]);
    assert_eq!(hex(flags(), PgType::Bool), ["01", "00"]);
}

#[test]
fn bytes_and_uuids() {
    let bytes = || Arc::new(BinaryArray::from(vec![&b"\x00\xff"[..]]));
    assert_eq!(texts(bytes(), PgType::Bytea, "UTC"), ["\\x00ff"]);
    assert_eq!(hex(bytes(), PgType::Bytea), ["00ff"]);
    let text = "01234567-89ab-cdef-0123-456789abcdef";
    let raw = uuid::Uuid::parse_str(text).unwrap();
    let fixed =
        || Arc::new(FixedSizeBinaryArray::try_from_iter([raw.as_bytes()].into_iter()).unwrap());
    let digits = "0123456789abcdef0123456789abcdef";
    assert_eq!(texts(fixed(), PgType::Uuid, "UTC"), [text]);
    assert_eq!(hex(fixed(), PgType::Uuid), [digits]);
    let written = || Arc::new(StringArray::from(vec![text]));
    assert_eq!(texts(written(), PgType::Uuid, "UTC"), [text]);
    assert_eq!(hex(written(), PgType::Uuid), [digits]);
}

#[test]
fn arrays() {
    let mut texts_builder = ListBuilder::new(StringBuilder::new());
    for item in [
        Some("a b"),
        Some(""),
        Some("null"),
        None,
        Some("x"),
        Some("q\"\\"),
        Some("a\tb"),
        Some("{"),
        Some(","),
    ] {
        texts_builder.values().append_option(item);
    }
    texts_builder.append(true);
    texts_builder.append(true);
    texts_builder.append(false);
    let pg_type = PgType::Array(Box::new(PgType::Text));
    let array = Arc::new(texts_builder.finish());
    assert_eq!(
        texts(array, pg_type.clone(), "UTC"),
        ["{\"a b\",\"\",\"null\",NULL,x,\"q\\\"\\\\\",\"a\tb\",\"{\",\",\"}", "{}", "NULL!",]
    );
    let mut builder = ListBuilder::new(StringBuilder::new());
    builder.append_value([Some("a"), None, Some("")]);
    builder.append_value([None::<&str>; 0]);
    assert_eq!(
        hex(Arc::new(builder.finish()), pg_type),
        [
            "00000001000000010000001900000003000000010000000161ffffffff00000000",
            "000000000000000000000019",
        ]
    );
}

#[test]
fn arrays_of_arrays() {
    let mut builder = ListBuilder::new(ListBuilder::new(Int32Builder::new()));
    builder.append_value([Some([Some(1), Some(2)]), Some([Some(3), Some(4)])]);
    let array = Arc::new(builder.finish());
    let pg_type = PgType::of_arrow(array.data_type());
    assert_eq!(texts(array.clone(), pg_type.clone(), "UTC"), ["{{1,2},{3,4}}"]);
    assert_eq!(
        hex(array, pg_type.clone()),
        [
            "000000020000000000000017000000020000000100000002000000010000000400000001000000040000000200000004000000030000000400000004",
        ]
    );
    let mut ragged = ListBuilder::new(ListBuilder::new(Int32Builder::new()));
    ragged.append_value([Some(vec![Some(1)]), Some(vec![])]);
    assert_eq!(sqlstate(Arc::new(ragged.finish()), pg_type, Format::Binary), "2202E");
}

#[test]
fn types_of_the_catalogue() {
    let array = || Arc::new(StringArray::from(vec!["1 2 3"]));
    assert_eq!(texts(array(), PgType::Int2Vector, "UTC"), ["1 2 3"]);
    assert_eq!(
        hex(array(), PgType::Int2Vector),
        ["0000000100000000000000150000000300000000000000020001000000020002000000020003",]
    );
    assert_eq!(
        hex(array(), PgType::OidVector),
        [
            "00000001000000000000001a0000000300000000000000040000000100000004000000020000000400000003",
        ]
    );
    let mut builder = ListBuilder::new(Int64Builder::new());
    builder.append_value([Some(1), Some(2)]);
    assert_eq!(texts(Arc::new(builder.finish()), PgType::OidVector, "UTC"), ["1 2"]);
    let class = || Arc::new(StringArray::from(vec!["orders"]));
    assert_eq!(texts(class(), PgType::Regclass, "UTC"), ["orders"]);
    assert_eq!(sqlstate(class(), PgType::Regclass, Format::Binary), "0A000");
    let number = Arc::new(Int64Array::from(vec![1259]));
    assert_eq!(hex(number, PgType::Regclass), ["000004eb"]);
}

#[test]
fn a_row_that_fails_leaves_nothing_behind() {
    let array: ArrayRef = Arc::new(StringArray::from(vec!["no uuid"]));
    let schema = Schema::new(vec![Field::new("c", DataType::Utf8, true)]);
    let batch = RecordBatch::try_new(Arc::new(schema), vec![array]).unwrap();
    let columns = [Column::new("c", PgType::Uuid)];
    let formats = [Format::Binary];
    let style = Style::plain(TimeZone::UTC);
    let layout =
        Layout { columns: &columns, formats: &formats, style: &style, form: Form::DataRow };
    let mut out = b"before".to_vec();
    assert!(BatchEncoder::new(&batch, &layout).unwrap().write_row(0, &mut out).is_err());
    assert_eq!(out, b"before");
}
