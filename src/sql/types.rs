//! Postgres types, as clients see them.

use datafusion::arrow::datatypes::{DataType, Field, TimeUnit};

/// The key of a field's metadata that names a Postgres type which Arrow's type alone doesn't tell:
/// `oid`, `name`, `regclass`, `"char"`, `uuid`, `json`, …
pub const PG_TYPE_KEY: &str = "pg_type";

/// A Postgres type that canon sends or takes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PgType {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    /// Precision and scale where declared.
    Numeric(Option<(u8, i8)>),
    Text,
    Varchar,
    Name,
    /// The one-byte type `"char"`.
    Char,
    Oid,
    Regclass,
    Regtype,
    Regproc,
    Int2Vector,
    OidVector,
    Date,
    Time,
    Timestamp,
    Timestamptz,
    Interval,
    Uuid,
    Bytea,
    Json,
    Jsonb,
    Array(Box<PgType>),
    /// A type that only Postgres's own catalogue has.
    System(&'static SystemType),
    /// A literal or parameter whose type nobody has said.
    Unknown,
}

/// A type of Postgres's catalogue with which canon doesn't compute: `xid`, `inet`, `aclitem`, …
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct SystemType {
    /// As in `pg_type.typname`.
    pub name: &'static str,
    pub oid: u32,
    /// 0 where it has no array type.
    pub array_oid: u32,
    /// Bytes of a value; -1 where they vary.
    pub size: i16,
    pub form: SystemForm,
}

/// What the values of a [`SystemType`] are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SystemForm {
    /// A number of 4 bytes.
    Number,
    /// An OID, shown as the name of its object.
    ObjectName,
    /// An address of the internet, perhaps with the length of its network's part.
    Address,
    /// A place in the write-ahead log: `16/B374D848`.
    Position,
    Text,
}

/// Those of which the catalogue's relations have columns, and those that casts name.
static SYSTEM_TYPES: [SystemType; 24] = {
    use SystemForm::{Address, Number, ObjectName, Position, Text};
    const fn of(
        name: &'static str,
        oid: u32,
        array_oid: u32,
        size: i16,
        form: SystemForm,
    ) -> SystemType {
        SystemType { name, oid, array_oid, size, form }
    }
    [
        of("tid", 27, 1010, 6, Text),
        of("xid", 28, 1011, 4, Number),
        of("cid", 29, 1012, 4, Number),
        of("pg_node_tree", 194, 0, -1, Text),
        of("inet", 869, 1041, -1, Address),
        of("aclitem", 1033, 1034, 12, Text),
        of("record", 2249, 2287, -1, Text),
        of("void", 2278, 0, 4, Text),
        of("regprocedure", 2202, 2207, 4, ObjectName),
        of("regoper", 2203, 2208, 4, ObjectName),
        of("regoperator", 2204, 2209, 4, ObjectName),
        of("anyarray", 2277, 0, -1, Text),
        of("txid_snapshot", 2970, 2949, -1, Text),
        of("pg_lsn", 3220, 3221, 8, Position),
        of("pg_ndistinct", 3361, 0, -1, Text),
        of("pg_dependencies", 3402, 0, -1, Text),
        of("regconfig", 3734, 3735, 4, ObjectName),
        of("regdictionary", 3769, 3770, 4, ObjectName),
        of("regnamespace", 4089, 4090, 4, ObjectName),
        of("regrole", 4096, 4097, 4, ObjectName),
        of("regcollation", 4191, 4192, 4, ObjectName),
        of("pg_snapshot", 5038, 5039, -1, Text),
        of("xid8", 5069, 271, 8, Text),
        of("pg_mcv_list", 5017, 0, -1, Text),
    ]
};

impl SystemType {
    fn named(name: &str) -> Option<&'static SystemType> {
        SYSTEM_TYPES.iter().find(|it| it.name == name)
    }

    /// One of them, or an array of one.
    fn of_oid(oid: u32) -> Option<PgType> {
        let own = SYSTEM_TYPES.iter().find(|it| it.oid == oid).map(PgType::System);
        let array = || SYSTEM_TYPES.iter().find(|it| it.array_oid == oid && oid != 0);
        own.or_else(|| array().map(|item| PgType::Array(Box::new(PgType::System(item)))))
    }
}

impl PgType {
    /// The type in which a field's values are shown.
    pub fn of(field: &Field) -> PgType {
        match field.metadata().get(PG_TYPE_KEY).and_then(|name| Self::named(name)) {
            Some(named) => named,
            None => Self::of_arrow(field.data_type()),
        }
    }

    /// The type of an Arrow type, where nothing more is known.
    pub fn of_arrow(data_type: &DataType) -> PgType {
        match data_type {
            DataType::Boolean => Self::Bool,
            DataType::Int8 | DataType::Int16 | DataType::UInt8 => Self::Int2,
            DataType::Int32 | DataType::UInt16 => Self::Int4,
            DataType::Int64 | DataType::UInt32 => Self::Int8,
            DataType::UInt64 => Self::Numeric(Some((20, 0))),
            DataType::Float16 | DataType::Float32 => Self::Float4,
            DataType::Float64 => Self::Float8,
            DataType::Decimal32(p, s)
            | DataType::Decimal64(p, s)
            | DataType::Decimal128(p, s)
            | DataType::Decimal256(p, s) => Self::Numeric(Some((*p, *s))),
            DataType::Date32 | DataType::Date64 => Self::Date,
            DataType::Time32(_) | DataType::Time64(_) => Self::Time,
            DataType::Timestamp(_, None) => Self::Timestamp,
            DataType::Timestamp(_, Some(_)) => Self::Timestamptz,
            DataType::Interval(_) | DataType::Duration(_) => Self::Interval,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Self::Bytea,
            DataType::FixedSizeBinary(16) => Self::Uuid,
            DataType::FixedSizeBinary(_) => Self::Bytea,
            DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
                Self::Array(Box::new(Self::of(item)))
            }
            DataType::Dictionary(_, values) => Self::of_arrow(values),
            _ => Self::Text,
        }
    }

    /// The type of a name as `pg_type.typname` or the SQL standard writes it.
    pub fn named(name: &str) -> Option<PgType> {
        Some(match name {
            "bool" | "boolean" => Self::Bool,
            "int2" | "smallint" => Self::Int2,
            "int4" | "int" | "integer" => Self::Int4,
            "int8" | "bigint" => Self::Int8,
            "float4" | "real" => Self::Float4,
            "float8" | "double precision" => Self::Float8,
            "numeric" | "decimal" => Self::Numeric(None),
            "text" => Self::Text,
            "varchar" | "character varying" => Self::Varchar,
            "name" => Self::Name,
            "char" => Self::Char,
            "oid" => Self::Oid,
            "regclass" => Self::Regclass,
            "regtype" => Self::Regtype,
            "regproc" => Self::Regproc,
            "int2vector" => Self::Int2Vector,
            "oidvector" => Self::OidVector,
            "date" => Self::Date,
            "time" => Self::Time,
            "timestamp" => Self::Timestamp,
            "timestamptz" => Self::Timestamptz,
            "interval" => Self::Interval,
            "uuid" => Self::Uuid,
            "bytea" => Self::Bytea,
            "json" => Self::Json,
            "jsonb" => Self::Jsonb,
            _ => {
                if let Some(system) = SystemType::named(name) {
                    return Some(Self::System(system));
                }
                return Self::named(name.strip_prefix('_')?)
                    .map(|item| Self::Array(Box::new(item)));
            }
        })
    }

    /// The Arrow type that holds its values in canon.
    pub fn to_arrow(&self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Int2 => DataType::Int16,
            Self::Int4 => DataType::Int32,
            Self::Int8 | Self::Oid => DataType::Int64,
            Self::System(system) if system.form == SystemForm::Number => DataType::Int64,
            Self::Float4 => DataType::Float32,
            Self::Float8 => DataType::Float64,
            Self::Numeric(Some((precision, scale))) => DataType::Decimal128(*precision, *scale),
            Self::Numeric(None) => DataType::Decimal128(38, 10),
            Self::Date => DataType::Date32,
            Self::Time => DataType::Time64(TimeUnit::Microsecond),
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::Timestamptz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Interval => {
                DataType::Interval(datafusion::arrow::datatypes::IntervalUnit::MonthDayNano)
            }
            Self::Bytea => DataType::Binary,
            Self::Array(item) => {
                DataType::List(std::sync::Arc::new(Field::new_list_field(item.to_arrow(), true)))
            }
            Self::Text
            | Self::Varchar
            | Self::Name
            | Self::Char
            | Self::Regclass
            | Self::Regtype
            | Self::Regproc
            | Self::Int2Vector
            | Self::OidVector
            | Self::Uuid
            | Self::Json
            | Self::Jsonb
            | Self::System(_)
            | Self::Unknown => DataType::Utf8,
        }
    }

    /// Its OID, as in PostgreSQL's `pg_type.dat`.
    pub fn oid(&self) -> u32 {
        match self {
            Self::Bool => 16,
            Self::Bytea => 17,
            Self::Char => 18,
            Self::Name => 19,
            Self::Int8 => 20,
            Self::Int2 => 21,
            Self::Int2Vector => 22,
            Self::Int4 => 23,
            Self::Regproc => 24,
            Self::Text => 25,
            Self::Oid => 26,
            Self::OidVector => 30,
            Self::Json => 114,
            Self::Jsonb => 3802,
            Self::Float4 => 700,
            Self::Float8 => 701,
            Self::Unknown => 705,
            Self::Varchar => 1043,
            Self::Date => 1082,
            Self::Time => 1083,
            Self::Timestamp => 1114,
            Self::Timestamptz => 1184,
            Self::Interval => 1186,
            Self::Numeric(_) => 1700,
            Self::Regclass => 2205,
            Self::Regtype => 2206,
            Self::Uuid => 2950,
            Self::System(system) => system.oid,
            Self::Array(item) => item.array_oid(),
        }
    }

    fn array_oid(&self) -> u32 {
        match self {
            Self::Bool => 1000,
            Self::Bytea => 1001,
            Self::Char => 1002,
            Self::Name => 1003,
            Self::Int2 => 1005,
            Self::Int2Vector => 1006,
            Self::Int4 => 1007,
            Self::Regproc => 1008,
            Self::Text | Self::Unknown => 1009,
            Self::OidVector => 1013,
            Self::Varchar => 1015,
            Self::Int8 => 1016,
            Self::Float4 => 1021,
            Self::Float8 => 1022,
            Self::Oid => 1028,
            Self::Timestamp => 1115,
            Self::Date => 1182,
            Self::Time => 1183,
            Self::Timestamptz => 1185,
            Self::Interval => 1187,
            Self::Json => 199,
            Self::Jsonb => 3807,
            Self::Numeric(_) => 1231,
            Self::Regclass => 2210,
            Self::Regtype => 2211,
            Self::Uuid => 2951,
            Self::System(system) => system.array_oid,
            Self::Array(item) => item.array_oid(),
        }
    }

    /// The scalar or array type of an OID, as far as canon takes it in parameters.
    pub fn of_oid(oid: u32) -> Option<PgType> {
        const SCALARS: [PgType; 27] = [
            PgType::Bool,
            PgType::Bytea,
            PgType::Char,
            PgType::Name,
            PgType::Int8,
            PgType::Int2,
            PgType::Int2Vector,
            PgType::Int4,
            PgType::Regproc,
            PgType::Text,
            PgType::Oid,
            PgType::OidVector,
            PgType::Json,
            PgType::Jsonb,
            PgType::Float4,
            PgType::Float8,
            PgType::Unknown,
            PgType::Varchar,
            PgType::Date,
            PgType::Time,
            PgType::Timestamp,
            PgType::Timestamptz,
            PgType::Interval,
            PgType::Numeric(None),
            PgType::Regclass,
            PgType::Regtype,
            PgType::Uuid,
        ];
        let scalar = SCALARS.iter().find(|scalar| scalar.oid() == oid);
        let array = || SCALARS.iter().find(|scalar| scalar.array_oid() == oid);
        let known =
            scalar.cloned().or_else(|| array().map(|it| PgType::Array(Box::new(it.clone()))));
        known.or_else(|| SystemType::of_oid(oid))
    }
}
