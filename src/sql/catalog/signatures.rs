//! What a call's arguments are taken for, by the signatures of `pg_proc`: so drivers are told the
//! types of parameters, by which they write them.
//!
//! Source: PostgreSQL 15, 10.3, and `func_select_candidate` in `src/backend/parser/parse_func.c`.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use datafusion::arrow::datatypes::FieldRef;

use super::definitions;
use super::directory::{Procedure, TypeInfo, procedures, type_named, type_of_oid};
use super::typing::{field_of, pg_type_of, type_name};

/// The category of the types that texts are read as first.
const STRINGS: &str = "S";
/// That of `anyelement` and its like, which say nothing of an argument.
const PSEUDO: &str = "P";

/// The type of an argument that has none of its own: that of the one signature which the other
/// arguments leave, by position. None where they leave several, or say nothing of this argument.
pub(crate) fn taken(name: &str, arguments: &[Option<FieldRef>], index: usize) -> Option<FieldRef> {
    let given: Vec<Given> = arguments.iter().map(|field| Some(of_field(field.as_ref()?))).collect();
    let chosen = chosen(name, &given)?;
    let taken = type_of_oid(*chosen.arguments.get(index)?)?;
    (taken.category != PSEUDO).then(|| field_of(taken.name))
}

/// The OID of an argument's type; None where it has none of its own.
type Given = Option<i64>;

fn of_field(field: &FieldRef) -> i64 {
    type_named(&type_name(&pg_type_of(field))).map_or(0, |one| one.oid)
}

/// The function that a call means, if that is one.
fn chosen(name: &str, given: &[Given]) -> Option<&'static Procedure> {
    let named = BY_NAME.get(name)?.iter().copied();
    let fitting: Vec<_> = named.filter(|one| fits(one, given)).collect();
    let nearest = most(fitting, |one| count(one, given, |type_oid, given| type_oid == given));
    let nearest = most(nearest, |one| {
        count(one, given, |type_oid, given| type_oid == given || is_preferred(type_oid))
    });
    let left = (0..given.len())
        .filter(|index| given[*index].is_none())
        .try_fold(nearest, |left, index| of_one_category(left, index))?;
    match left.as_slice() {
        [one] => Some(one),
        several => alike(several, given),
    }
}

static BY_NAME: LazyLock<HashMap<&str, Vec<&Procedure>>> = LazyLock::new(|| {
    let mut by_name: HashMap<&str, Vec<&Procedure>> = HashMap::new();
    procedures().iter().for_each(|one| by_name.entry(one.name).or_default().push(one));
    by_name
});

/// Whether a function takes so many arguments, of types that become its own by themselves.
fn fits(procedure: &Procedure, given: &[Given]) -> bool {
    let most = procedure.arguments.len();
    let takes_so_many = (most - procedure.defaults.min(most)..=most).contains(&given.len());
    let mut pairs = procedure.arguments.iter().zip(given);
    takes_so_many && pairs.all(|(wanted, given)| given.is_none_or(|given| becomes(given, *wanted)))
}

/// Whether values of a type become another by themselves.
fn becomes(given: i64, wanted: i64) -> bool {
    static IMPLICIT: LazyLock<HashSet<(i64, i64)>> = LazyLock::new(|| {
        let rows = definitions::rows("pg_cast").into_iter();
        let implicit = rows.filter(|row| row.get(4) == Some(&Some("i")));
        let number = |cell: Option<&Option<&str>>| cell.copied().flatten()?.parse().ok();
        implicit.filter_map(|row| Some((number(row.get(1))?, number(row.get(2))?))).collect()
    });
    let is_pseudo = || type_of_oid(wanted).is_some_and(|one| one.category == PSEUDO);
    given == wanted || IMPLICIT.contains(&(given, wanted)) || is_pseudo()
}

fn is_preferred(type_oid: i64) -> bool {
    type_of_oid(type_oid).is_some_and(|one| one.preferred)
}

/// How many of the typed arguments a signature meets.
fn count(procedure: &Procedure, given: &[Given], meets: impl Fn(i64, i64) -> bool) -> usize {
    let pairs = procedure.arguments.iter().zip(given);
    pairs.filter(|(wanted, given)| given.is_some_and(|given| meets(**wanted, given))).count()
}

/// Those of the highest score.
fn most<T: Copy>(all: Vec<T>, score: impl Fn(T) -> usize) -> Vec<T> {
    let best = all.iter().map(|one| score(*one)).max();
    all.into_iter().filter(|one| Some(score(*one)) == best).collect()
}

/// Of functions those that take an argument of no type for one of the category that it is taken
/// for: a text where one takes texts, else what all take. None where they agree on none.
fn of_one_category(left: Vec<&'static Procedure>, index: usize) -> Option<Vec<&'static Procedure>> {
    let taken = |one: &Procedure| type_of_oid(*one.arguments.get(index)?);
    let mut categories: Vec<&str> =
        left.iter().filter_map(|one| Some(taken(one)?.category)).collect();
    categories.sort_unstable();
    categories.dedup();
    let category = match categories.as_slice() {
        several if several.contains(&STRINGS) => STRINGS,
        [one] => one,
        _ => return None,
    };
    let is_of = |info: Option<&TypeInfo>| info.is_some_and(|info| info.category == category);
    let of_category: Vec<_> = left.into_iter().filter(|one| is_of(taken(one))).collect();
    Some(most(of_category, |one| usize::from(taken(one).is_some_and(|info| info.preferred))))
}

/// The function whose arguments of no type are of the type that all the others have.
fn alike(left: &[&'static Procedure], given: &[Given]) -> Option<&'static Procedure> {
    let known = given.iter().copied().flatten().next()?;
    if given.iter().flatten().any(|other| *other != known) {
        return None;
    }
    let all_known = vec![Some(known); given.len()];
    let mut fitting = left.iter().filter(|one| fits(one, &all_known));
    let first = fitting.next()?;
    fitting.next().is_none().then_some(*first)
}

/// The type of values that stand for one another, from those that they have: the first, or a later
/// one of its category that it becomes by itself. None where they have none in common.
///
/// Source: PostgreSQL 15, 10.5, and `select_common_type` in `src/backend/parser/parse_coerce.c`.
pub(super) fn common_type<T: AsRef<str>>(names: &[T]) -> Option<&'static str> {
    let mut types = names.iter().map(|name| type_named(name.as_ref()));
    let mut common = types.next()??;
    for next in types {
        let next = next?;
        if next.category != common.category {
            return None;
        }
        if !common.preferred && becomes(common.oid, next.oid) && !becomes(next.oid, common.oid) {
            common = next;
        }
    }
    Some(common.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The type of each argument of no type, written `?`, of a call.
    fn told(name: &str, written: &[&str]) -> Vec<String> {
        let types = written.iter().map(|one| (*one != "?").then(|| field_of(one)));
        let types: Vec<_> = types.collect();
        let open = (0..types.len()).filter(|index| types[*index].is_none());
        let told = open.map(|index| taken(name, &types, index));
        told.map(|field| field.map_or("-".to_owned(), |it| type_name(&pg_type_of(&it)))).collect()
    }

    #[test]
    fn arguments_are_what_the_signature_says() {
        assert_eq!(told("format_type", &["?", "?"]), ["oid", "int4"]);
        assert_eq!(told("set_config", &["?", "?", "?"]), ["text", "text", "bool"]);
        assert_eq!(told("obj_description", &["?", "?"]), ["oid", "name"]);
        assert_eq!(told("pg_get_indexdef", &["?", "?", "?"]), ["oid", "int4", "bool"]);
    }

    #[test]
    fn texts_are_preferred_among_overloads() {
        assert_eq!(told("has_table_privilege", &["?", "?"]), ["text", "text"]);
        assert_eq!(told("has_table_privilege", &["oid", "?"]), ["text"]);
        assert_eq!(told("has_table_privilege", &["name", "oid", "?"]), ["text"]);
    }

    #[test]
    fn what_several_signatures_leave_open_is_not_told() {
        assert_eq!(told("pg_size_pretty", &["?"]), ["-"]);
        assert_eq!(told("pg_typeof", &["?"]), ["-"]);
        assert_eq!(told("no_such_function", &["?"]), ["-"]);
    }
}
