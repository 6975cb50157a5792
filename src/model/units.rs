//! Units of measure: products of named units with whole exponents, such as `EUR per count`.
//!
//! A unit is a name that nobody looks into: `EUR` and `minutes` are as good as any. It is written
//! `EUR`, `EUR per order`, `EUR / order`, `EUR * kg`, `m^2` or `m²`. Dimensionless are `1`, `ratio`,
//! `share` and `%`; a `%` is a hundredth, so it can't be added to the others.

use std::collections::BTreeMap;
use std::fmt;

/// The unit of a count that says no other.
pub const COUNT: &str = "count";

/// Exponents that anyone means.
const EXPONENT_MAX: i32 = 9;

/// A unit of measure.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unit {
    /// Exponents by name, none of them 0; empty where it is dimensionless.
    factors: BTreeMap<String, i32>,
    /// A hundredth.
    is_percent: bool,
}

impl Unit {
    /// A unit of one name.
    pub fn named(name: &str) -> Self {
        Self { factors: [(name.to_owned(), 1)].into(), is_percent: false }
    }

    /// A number without unit.
    pub fn dimensionless() -> Self {
        Self::default()
    }

    /// Reads a unit as it is written; None where it isn't one.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if matches!(text, "%" | "percent") {
            return Some(Self { is_percent: true, ..Self::default() });
        }
        let spaced = text.replace(['*', '·', '×'], " * ").replace('/', " per ");
        let mut unit = Self::default();
        let mut sign = 1;
        let mut name: Vec<&str> = Vec::new();
        for word in spaced.split_whitespace() {
            match word {
                "*" | "per" => {
                    unit.take(&name, sign)?;
                    name.clear();
                    sign = if word == "per" { -1 } else { sign };
                }
                word => name.push(word),
            }
        }
        unit.take(&name, sign)?;
        Some(unit)
    }

    fn take(&mut self, words: &[&str], sign: i32) -> Option<()> {
        let term = words.join(" ");
        if term.is_empty() {
            return None;
        }
        if matches!(term.as_str(), "1" | "ratio" | "share") {
            return Some(());
        }
        let (name, exponent) = match (term.split_once('^'), term.char_indices().next_back()) {
            (Some((name, exponent)), _) => (name.trim(), exponent.trim().parse().ok()?),
            (None, Some((end, '²'))) => (&term[..end], 2),
            (None, Some((end, '³'))) => (&term[..end], 3),
            _ => (term.as_str(), 1),
        };
        let is_name = name.starts_with(|c: char| !c.is_ascii_digit()) && !name.contains('%');
        if !is_name || exponent == 0 || !(-EXPONENT_MAX..=EXPONENT_MAX).contains(&exponent) {
            return None;
        }
        self.add(name, sign * exponent);
        Some(())
    }

    fn add(&mut self, name: &str, exponent: i32) {
        let known = self.factors.keys().find(|known| is_same(known, name));
        let name = known.cloned().unwrap_or_else(|| name.to_owned());
        let sum = self.factors.get(&name).copied().unwrap_or_default() + exponent;
        match sum {
            0 => self.factors.remove(&name),
            sum => self.factors.insert(name, sum),
        };
    }

    /// The unit of a product.
    #[must_use]
    pub fn times(&self, other: &Self) -> Self {
        let mut product = Self { factors: self.factors.clone(), is_percent: false };
        other.factors.iter().for_each(|(name, exponent)| product.add(name, *exponent));
        product
    }

    /// The unit of a quotient.
    #[must_use]
    pub fn over(&self, other: &Self) -> Self {
        let mut quotient = Self { factors: self.factors.clone(), is_percent: false };
        other.factors.iter().for_each(|(name, exponent)| quotient.add(name, -exponent));
        quotient
    }

    pub fn is_dimensionless(&self) -> bool {
        self.factors.is_empty()
    }

    /// The names in it.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.factors.keys().map(String::as_str)
    }

    /// What the other lacks of this one, and the other way round, names that mean the same left out.
    fn difference(&self, other: &Self) -> [Vec<(String, i32)>; 2] {
        let left = |one: &Self, two: &Self| {
            let known = |name: &str| two.factors.iter().find(|(other, _)| is_same(name, other));
            let own = |(name, exponent): (&String, &i32)| {
                let rest = exponent - known(name).map_or(0, |(_, exponent)| *exponent);
                (rest != 0).then(|| (name.clone(), rest))
            };
            one.factors.iter().filter_map(own).collect()
        };
        [left(self, other), left(other, self)]
    }
}

/// Singular and plural are one unit.
fn is_same(one: &str, other: &str) -> bool {
    one == other || one.strip_suffix('s') == Some(other) || other.strip_suffix('s') == Some(one)
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.factors.is_empty() {
            return f.write_str(if self.is_percent { "%" } else { "ratio" });
        }
        let shown = |name: &str, exponent: i32| match exponent {
            1 => name.to_owned(),
            2 => format!("{name}²"),
            3 => format!("{name}³"),
            exponent => format!("{name}^{exponent}"),
        };
        let above = self.factors.iter().filter(|(_, exponent)| **exponent > 0);
        let above: Vec<String> = above.map(|(name, exponent)| shown(name, *exponent)).collect();
        f.write_str(if above.is_empty() { "1" } else { "" })?;
        f.write_str(&above.join(" * "))?;
        for (name, exponent) in self.factors.iter().filter(|(_, exponent)| **exponent < 0) {
            write!(f, " per {}", shown(name, -exponent))?;
        }
        Ok(())
    }
}

/// Which names count things: their units are names of what is counted, not measures.
#[derive(Debug, Clone, Default)]
pub struct Counting {
    /// Names that attributes and metrics that don't count are measured in.
    pub measured: Vec<String>,
    /// Names that counts are declared in, [`COUNT`] apart.
    pub counted: Vec<String>,
}

impl Counting {
    fn counts(&self, name: &str) -> bool {
        name == COUNT || self.counted.iter().any(|known| is_same(known, name))
    }

    fn measures(&self, name: &str) -> bool {
        !self.counts(name) && self.measured.iter().any(|known| is_same(known, name))
    }

    /// Whether a declared unit can be that of an expression whose unit is computed: they are the
    /// same; or the declared one names what a plain count leaves unnamed (`EUR per order` for `EUR
    /// per count`); or it is dimensionless, and what is computed only counts (`%` for `orders per
    /// visit`).
    pub fn allows(&self, declared: &Unit, computed: &Unit) -> bool {
        if declared.is_dimensionless() && computed.names().all(|name| self.counts(name)) {
            return true;
        }
        let [mut more, mut less] = declared.difference(computed);
        let names_counts = more.iter().all(|(name, _)| !self.measures(name))
            && less.iter().all(|(name, _)| name == COUNT);
        let exponents = |parts: &mut Vec<(String, i32)>| {
            let mut exponents: Vec<i32> = parts.iter().map(|(_, exponent)| *exponent).collect();
            exponents.sort_unstable();
            exponents
        };
        exponents(&mut more) == exponents(&mut less) && (more.is_empty() || names_counts)
    }

    /// Whether values in two units can be added; None where a plain count meets a named one, of
    /// which nothing is known.
    pub fn adds(&self, one: &Unit, other: &Unit) -> Option<bool> {
        if one.is_percent != other.is_percent && one.is_dimensionless() && other.is_dimensionless()
        {
            return Some(false);
        }
        let [more, less] = one.difference(other);
        if more.is_empty() && less.is_empty() {
            return Some(true);
        }
        let is_plain = |parts: &[(String, i32)]| parts.iter().any(|(name, _)| name == COUNT);
        let names = || more.iter().chain(&less);
        let all_count = names().all(|(name, _)| self.counts(name));
        let same_size = more.len() == less.len();
        match all_count && same_size && (is_plain(&more) || is_plain(&less)) {
            true => None,
            false => Some(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(text: &str) -> Unit {
        Unit::parse(text).unwrap()
    }

    #[test]
    fn units_are_read_and_shown() {
        let shown = |text: &str| unit(text).to_string();
        assert_eq!(shown("EUR"), "EUR");
        assert_eq!(shown("EUR/count"), "EUR per count");
        assert_eq!(shown("EUR per count per day"), "EUR per count per day");
        assert_eq!(shown("kg*m^2 / s^2"), "kg * m² per s²");
        assert_eq!(shown("m²"), "m²");
        assert_eq!(shown("working days"), "working days");
        assert_eq!(shown("1 per day"), "1 per day");
        assert_eq!(shown("1"), "ratio");
        assert_eq!(shown("%"), "%");
        assert_eq!(shown("EUR per EUR"), "ratio");
        for wrong in ["", "EUR per", "per day", "EUR ** m", "m^x", "m^0", "m^10", "3 apples"] {
            assert_eq!(Unit::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn units_multiply_and_divide() {
        assert_eq!(unit("EUR").over(&unit("count")), unit("EUR per count"));
        assert_eq!(unit("EUR per count").times(&unit("count")), unit("EUR"));
        assert_eq!(unit("EUR per order").times(&unit("orders")), unit("EUR"));
        assert_eq!(unit("EUR").times(&unit("EUR")), unit("EUR^2"));
        assert_eq!(unit("%").times(&unit("EUR")), unit("EUR"));
        assert!(unit("EUR").over(&unit("EUR")).is_dimensionless());
    }

    fn counting() -> Counting {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Counting {
            measured: list(&["EUR", "USD", "minutes"]),
            counted: list(&["orders", "visits"]),
        }
    }

    #[test]
    fn a_declared_unit_may_name_what_is_counted() {
        let allows =
            |declared: &str, computed: &str| counting().allows(&unit(declared), &unit(computed));
        assert!(allows("EUR", "EUR"));
        assert!(allows("EUR per order", "EUR per orders"));
        assert!(allows("EUR per basket", "EUR per count"));
        assert!(allows("%", "orders per visits"));
        assert!(allows("ratio", "count per visits"));
        assert!(allows("minute", "minutes"));
        assert!(!allows("EUR", "USD"));
        assert!(!allows("EUR", "EUR per count"));
        assert!(!allows("EUR per USD", "EUR per count"));
        assert!(!allows("EUR per basket", "EUR per orders"));
        assert!(!allows("ratio", "EUR per count"));
        assert!(!allows("EUR", "ratio"));
        assert!(!allows("EUR per count", "EUR^2 per count"));
    }

    #[test]
    fn only_equals_are_added() {
        let adds = |one: &str, other: &str| counting().adds(&unit(one), &unit(other));
        assert_eq!(adds("EUR", "EUR"), Some(true));
        assert_eq!(adds("order", "orders"), Some(true));
        assert_eq!(adds("ratio", "1"), Some(true));
        assert_eq!(adds("EUR", "count"), Some(false));
        assert_eq!(adds("orders", "visits"), Some(false));
        assert_eq!(adds("EUR", "EUR^2"), Some(false));
        assert_eq!(adds("ratio", "%"), Some(false));
        assert_eq!(adds("ratio", "EUR"), Some(false));
        // What the plain count counts isn't said.
        assert_eq!(adds("orders", "count"), None);
        assert_eq!(adds("EUR per order", "EUR per count"), None);
    }
}
