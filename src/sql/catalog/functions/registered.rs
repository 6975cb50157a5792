//! The `reg…` types: OIDs that are written as the names of what has them.
//!
//! Source: PostgreSQL 15, 8.19, and `src/backend/utils/adt/regproc.c`.

use super::{Call, Function, Outcome, Returns, Value, of_one};
use crate::functions::FunctionError;
use crate::sql::catalog::directory::{
    OWNER, OWNER_NAME, Operator, Procedure, named_object, object_name, operator, operators,
    parse_identifier, procedure, procedures, type_named, type_of_oid,
};
use crate::sql::catalog::error::CatalogError;
use crate::sql::catalog::naming::{format_type, quote_identifier, relation_name};
use crate::sql::catalog::relations::role_oid;

/// Names to objects, NULL where there is none.
pub(super) const FUNCTIONS: &[Function] = &[
    of_one("to_regclass", "regclass", |call| found(call, Kind::Class)),
    of_one("to_regtype", "regtype", |call| found(call, Kind::Type)),
    of_one("to_regproc", "regproc", |call| found(call, Kind::Procedure)),
    of_one("to_regprocedure", "regprocedure", |call| found(call, Kind::Signature)),
    of_one("to_regoper", "regoper", |call| found(call, Kind::Operator)),
    of_one("to_regoperator", "regoperator", |call| found(call, Kind::Operands)),
    of_one("to_regcollation", "regcollation", |call| found(call, Kind::Collation)),
    of_one("to_regnamespace", "regnamespace", |call| found(call, Kind::Namespace)),
    of_one("to_regrole", "regrole", |call| found(call, Kind::Role)),
];

/// The functions behind casts to and from the `reg…` types; no name in SQL reaches them.
pub(super) static TO_REG: Function = cast("canon_to_reg", "oid", to_reg);
/// As [`TO_REG`] for each item of an array, whose type is named `_reg…`.
pub(super) static TO_REGS: Function = cast("canon_to_regs", "_oid", to_regs);
pub(super) static FROM_REG: Function = cast("canon_from_reg", "text", from_reg);
/// As [`FROM_REG`] for each item of an array, whose type is named `_reg…`.
pub(super) static FROM_REGS: Function = cast("canon_from_regs", "_text", from_regs);

const fn cast(
    name: &'static str,
    type_name: &'static str,
    eval: fn(&Call<'_>) -> Outcome,
) -> Function {
    Function { name, arguments: (2, 2), returns: Returns::Type(type_name), strict: true, eval }
}

/// What a `reg…` type names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Class,
    Type,
    /// A function by its name alone: `regproc`.
    Procedure,
    /// One by its name and the types of its arguments: `regprocedure`.
    Signature,
    /// An operator by its name alone: `regoper`.
    Operator,
    /// One by its name and the types of its operands: `regoperator`.
    Operands,
    Collation,
    Configuration,
    Dictionary,
    Namespace,
    Role,
}

impl Kind {
    fn of_type(type_name: &str) -> Option<Self> {
        Some(match type_name {
            "regclass" => Self::Class,
            "regtype" => Self::Type,
            "regproc" => Self::Procedure,
            "regprocedure" => Self::Signature,
            "regoper" => Self::Operator,
            "regoperator" => Self::Operands,
            "regcollation" => Self::Collation,
            "regconfig" => Self::Configuration,
            "regdictionary" => Self::Dictionary,
            "regnamespace" => Self::Namespace,
            "regrole" => Self::Role,
            _ => return None,
        })
    }

    /// How no object at all is written.
    fn none(self) -> &'static str {
        match self {
            Self::Operator | Self::Operands => "0",
            _ => "-",
        }
    }

    /// The relation whose rows are such objects, for those whose names are in its file.
    fn catalogue(self) -> &'static str {
        match self {
            Self::Configuration => "pg_ts_config",
            Self::Dictionary => "pg_ts_dict",
            _ => "pg_collation",
        }
    }

    fn undefined(self, text: &str) -> CatalogError {
        let missing = |kind| CatalogError::UndefinedObject { kind, name: text.to_owned() };
        let without_function = |message: String| FunctionError::new("42883", message).into();
        match self {
            Self::Class => CatalogError::UndefinedRelation { name: text.to_owned() },
            Self::Type => missing("type"),
            Self::Procedure | Self::Signature => {
                without_function(format!("function \"{text}\" does not exist"))
            }
            Self::Operator | Self::Operands => {
                without_function(format!("operator does not exist: {text}"))
            }
            Self::Collation => {
                let message = format!("collation \"{text}\" for encoding \"UTF8\" does not exist");
                FunctionError::new("42704", message).into()
            }
            Self::Configuration => missing("text search configuration"),
            Self::Dictionary => missing("text search dictionary"),
            Self::Namespace => {
                FunctionError::new("3F000", format!("schema \"{text}\" does not exist")).into()
            }
            Self::Role => missing("role"),
        }
    }
}

/// The objects of a name.
fn named(call: &Call<'_>, kind: Kind, text: &str) -> Vec<i64> {
    let of_catalogue = |kind: Kind| named_object(kind.catalogue(), &folded(text));
    let one = match kind {
        // Digits are an OID, which is no name.
        Kind::Class if text.parse::<i64>().is_ok() => None,
        Kind::Class => call.directory.resolve(text, call.session).map(|one| one.oid),
        Kind::Type => type_oid(call, text),
        Kind::Procedure => return oids(procedures_named(text)),
        Kind::Signature => {
            let Some((name, types)) = with_types(text) else { return Vec::new() };
            let types: Option<Vec<i64>> = types.iter().map(|one| type_oid(call, one)).collect();
            let taking = |one: &&Procedure| types.as_ref() == Some(&one.arguments);
            return oids(procedures_named(name).into_iter().filter(taking).collect());
        }
        Kind::Operator => return operators_named(text).map(|one| one.oid).collect(),
        Kind::Operands => {
            let Some((name, types)) = with_types(text) else { return Vec::new() };
            let operand = |one: &&str| match one.eq_ignore_ascii_case("none") {
                true => Some(0),
                false => type_oid(call, one),
            };
            let types: Option<Vec<i64>> = types.iter().map(operand).collect();
            let taking = |one: &&Operator| types == Some(vec![one.left, one.right]);
            return operators_named(name).filter(taking).map(|one| one.oid).collect();
        }
        Kind::Collation | Kind::Configuration | Kind::Dictionary => of_catalogue(kind),
        Kind::Namespace => call.directory.namespace_named(&folded(text)),
        Kind::Role => named_role(call, &folded(text)),
    };
    one.into_iter().collect()
}

fn oids(procedures: Vec<&'static Procedure>) -> Vec<i64> {
    procedures.into_iter().map(|one| one.oid).collect()
}

fn procedures_named(text: &str) -> Vec<&'static Procedure> {
    let name = folded(text);
    procedures().iter().filter(|one| one.name == name).collect()
}

/// Operators' names aren't identifiers: what stands before a dot is their schema.
fn operators_named(text: &str) -> impl Iterator<Item = &'static Operator> {
    let name = text.trim().strip_prefix("pg_catalog.").unwrap_or(text.trim());
    operators().iter().filter(move |one| one.name == name)
}

/// `name(type, type)` in its parts.
fn with_types(text: &str) -> Option<(&str, Vec<&str>)> {
    let (name, types) = text.trim().strip_suffix(')')?.split_once('(')?;
    let types = types.trim();
    // A type may have a modifier, which has a comma of its own.
    let mut depth = 0_usize;
    let parts = types.split(|letter: char| {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        letter == ',' && depth == 0
    });
    let parts = parts.map(str::trim).filter(|_| !types.is_empty());
    Some((name.trim(), parts.collect()))
}

/// The one object of a name, for the functions that have NULL of all else.
fn found(call: &Call<'_>, kind: Kind) -> Outcome {
    Ok(match named(call, kind, call.text(0).unwrap_or_default()).as_slice() {
        [oid] => Value::Int(*oid),
        _ => Value::Null,
    })
}

fn kind_of(call: &Call<'_>) -> Result<Kind, CatalogError> {
    let type_name = call.text(1).unwrap_or_default().trim_start_matches('_');
    Kind::of_type(type_name).ok_or_else(|| CatalogError::NotSupported {
        what: format!("a cast of text to {type_name}"),
    })
}

/// `text` and the name of the `reg…` type to its OID.
fn to_reg(call: &Call<'_>) -> Outcome {
    of_text(call, kind_of(call)?, call.text(0).unwrap_or_default())
}

fn to_regs(call: &Call<'_>) -> Outcome {
    let Value::List(items) = call.value(0) else { return Ok(Value::Null) };
    let kind = kind_of(call)?;
    let oid = |item: &Value| match item {
        Value::Text(text) => of_text(call, kind, text),
        other => Ok(other.clone()),
    };
    Ok(Value::List(items.iter().map(oid).collect::<Result<_, _>>()?))
}

fn of_text(call: &Call<'_>, kind: Kind, text: &str) -> Outcome {
    let text = text.trim();
    if text == kind.none() {
        return Ok(Value::Int(0));
    }
    if let Ok(oid) = text.parse() {
        return Ok(Value::Int(oid));
    }
    match (named(call, kind, text).as_slice(), kind) {
        ([oid], _) => Ok(Value::Int(*oid)),
        ([], _) => Err(kind.undefined(text)),
        (_, Kind::Operator | Kind::Operands) => Err(ambiguous(format!("operator named {text}"))),
        _ => Err(ambiguous(format!("function named \"{text}\""))),
    }
}

fn ambiguous(what: String) -> CatalogError {
    FunctionError::new("42725", format!("more than one {what}")).into()
}

/// An OID and the name of its `reg…` type to the object's name, or to its digits where it has none;
/// an array or an address to its text.
fn from_reg(call: &Call<'_>) -> Outcome {
    let kind = call.text(1).unwrap_or_default();
    Ok(Value::Text(match (call.value(0), kind.strip_prefix('_')) {
        (Value::List(_), Some(_)) => match from_regs(call)? {
            Value::List(names) => super::print_array(&names),
            _ => return Ok(Value::Null),
        },
        (Value::List(items), None) => super::print_array(items),
        (Value::Text(address), None) if kind == "inet" => with_network(address),
        _ => written(call, call.int(0).unwrap_or_default(), kind),
    }))
}

fn with_network(address: &str) -> String {
    match (address.contains('/'), address.contains(':')) {
        (true, _) => address.to_owned(),
        (false, true) => format!("{address}/128"),
        (false, false) => format!("{address}/32"),
    }
}

fn from_regs(call: &Call<'_>) -> Outcome {
    let Value::List(items) = call.value(0) else { return Ok(Value::Null) };
    let kind = call.text(1).unwrap_or_default().trim_start_matches('_');
    let name = |item: &Value| match item {
        Value::Int(oid) => Value::Text(written(call, *oid, kind)),
        other => other.clone(),
    };
    Ok(Value::List(items.iter().map(name).collect()))
}

/// An OID as its type is written.
fn written(call: &Call<'_>, oid: i64, type_name: &str) -> String {
    let Some(kind) = Kind::of_type(type_name) else { return oid.to_string() };
    match oid {
        0 => kind.none().to_owned(),
        _ => name_of(call, kind, oid).unwrap_or_else(|| oid.to_string()),
    }
}

fn name_of(call: &Call<'_>, kind: Kind, oid: i64) -> Option<String> {
    match kind {
        Kind::Class => {
            let relation = call.directory.relation(oid);
            relation.map(|one| relation_name(call.directory, one, call.session))
        }
        Kind::Type => match type_of_oid(oid) {
            Some(_) => Some(format_type(oid, -1)),
            None => call.directory.row_type_name(oid, call.session),
        },
        Kind::Procedure => procedure(oid).map(|one| {
            let name = quote_identifier(one.name);
            alone(procedures_named(&name).len(), name)
        }),
        Kind::Signature => procedure(oid).map(|one| {
            let types: Vec<_> = one.arguments.iter().map(|oid| format_type(*oid, -1)).collect();
            format!("{}({})", quote_identifier(one.name), types.join(","))
        }),
        Kind::Operator => {
            operator(oid).map(|one| alone(operators_named(one.name).count(), one.name.to_owned()))
        }
        Kind::Operands => operator(oid).map(|one| {
            let operand = |oid| match oid {
                0 => "NONE".to_owned(),
                oid => format_type(oid, -1),
            };
            format!("{}({},{})", one.name, operand(one.left), operand(one.right))
        }),
        Kind::Collation | Kind::Configuration | Kind::Dictionary => {
            object_name(kind.catalogue(), oid).map(quote_identifier)
        }
        Kind::Namespace => call.directory.namespace(oid).map(quote_identifier),
        Kind::Role if oid == OWNER => Some(OWNER_NAME.to_owned()),
        Kind::Role if oid == role_oid(&call.session.role) => {
            Some(quote_identifier(&call.session.role))
        }
        Kind::Role => None,
    }
}

/// A name that several objects share tells none of them, and is written with its schema.
fn alone(sharing: usize, name: String) -> String {
    if sharing == 1 { name } else { format!("pg_catalog.{name}") }
}

fn named_role(call: &Call<'_>, name: &str) -> Option<i64> {
    let known = name == OWNER_NAME || name == call.session.role;
    known.then(|| role_oid(name))
}

fn folded(text: &str) -> String {
    parse_identifier(text).and_then(|parts| parts.last().cloned()).unwrap_or_default()
}

/// A type by its name: Postgres's own, or that of a relation's rows, or of an array of either.
fn type_oid(call: &Call<'_>, text: &str) -> Option<i64> {
    if let Some(oid) = own_type_oid(text) {
        return Some(oid);
    }
    let (name, is_array) = match text.trim().strip_suffix("[]") {
        Some(element) => (element, true),
        None => (text, false),
    };
    let relation = call.directory.resolve(name, call.session)?;
    let oid = if is_array { relation.row_array } else { relation.row_type };
    (oid != 0).then_some(oid)
}

/// A type by the name of `pg_type` or of SQL, an array by its brackets.
fn own_type_oid(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Some(element) = text.strip_suffix("[]") {
        let element = type_of_oid(own_type_oid(element)?)?.name;
        return type_named(&format!("_{element}")).map(|one| one.oid);
    }
    let bare = text.split('(').next().unwrap_or_default().trim();
    let bare = bare.strip_prefix("pg_catalog.").unwrap_or(bare);
    let name = match bare.to_lowercase().as_str() {
        "boolean" => "bool",
        "smallint" => "int2",
        "integer" | "int" => "int4",
        "bigint" => "int8",
        "real" => "float4",
        "double precision" => "float8",
        "decimal" => "numeric",
        "character varying" => "varchar",
        "character" => "bpchar",
        "\"char\"" => "char",
        "timestamp without time zone" => "timestamp",
        "timestamp with time zone" => "timestamptz",
        "time without time zone" => "time",
        "time with time zone" => "timetz",
        "bit varying" => "varbit",
        _ => return type_named(&folded(bare)).map(|one| one.oid),
    };
    type_named(name).map(|one| one.oid)
}
