//! Dimensions: an entity's own attributes, and those of the entities it belongs to.

use std::collections::{BTreeMap, VecDeque};

use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::{Case, Expr, Operator, binary_expr, lit};

use super::Context;
use super::at::At;
use super::entity::{Draft, Entities, Found, RESERVED, column};
use crate::diagnostic::Finding;
use crate::model::entity::{AT_EVENT, BASE};
use crate::model::{AsOf, Attribute, Dimension, Entity, Relationship};

/// Dimensions of one entity: far more than anyone could choose from, and few enough that a web of
/// relationships can't fill the memory.
const DIMENSIONS_MAX: usize = 5_000;

/// A relationship on the way from the entity, and the qualifiers of the sources that it joins.
#[derive(Clone)]
struct Hop<'e> {
    link: &'e Relationship,
    from: String,
    /// Of a history, the row that is valid now.
    to: String,
    /// Key columns of the entity that it leads to.
    key: &'e [String],
}

/// All dimensions of an entity; clashes of names are reported.
pub(super) fn check<'a>(
    context: &mut Context<'a>,
    entities: &Entities<'a>,
    index: usize,
) -> Vec<Dimension> {
    let base = &entities.drafts[index];
    let mut found = Collected { entities, base, list: Vec::new(), by_name: BTreeMap::new() };
    for attribute in base.entity.attributes.iter().filter(|attribute| !attribute.hidden) {
        found.add(context, own(&base.entity, attribute, attribute.name.clone(), false));
    }
    for attribute in base.entity.attributes.iter().filter(|attribute| !attribute.hidden) {
        let name = format!("{}_{}", base.entity.name, attribute.name);
        found.add(context, own(&base.entity, attribute, name, true));
    }
    for segment in entities.segments_of(base) {
        let name = format!("{}_{segment}", base.entity.name);
        found.add(context, segmented(base, &[], segment, segment.to_owned()));
        found.add(context, Dimension { alias_only: true, ..segmented(base, &[], segment, name) });
    }
    let mut waiting: VecDeque<(&Draft<'_>, Vec<Hop<'_>>, Vec<&str>)> =
        VecDeque::from([(base, Vec::new(), vec![base.entity.name.as_str()])]);
    while let Some((draft, hops, visited)) = waiting.pop_front() {
        for link in &draft.entity.relationships {
            let Found::Entity(other) = entities.find(&link.entity) else { continue };
            if visited.contains(&link.entity.as_str()) {
                continue;
            }
            let hops = with_hop(&hops, link, &draft.entity, &other.entity);
            for attribute in other.entity.attributes.iter().filter(|attribute| !attribute.hidden) {
                found.add(context, related(&other.entity, attribute, &hops));
            }
            for segment in entities.segments_of(other) {
                let path: Vec<&str> = hops.iter().map(|hop| hop.link.name.as_str()).collect();
                let name = format!("{}_{segment}", path.join("_"));
                found.add(context, segmented_at_event(other, &hops, segment, &name));
                found.add(context, segmented(other, &hops, segment, name));
            }
            if other.entity.source.history.is_some() {
                let shown = other.entity.attributes.iter().filter(|attribute| !attribute.hidden);
                for attribute in shown.filter(|it| !other.entity.key.contains(&it.name)) {
                    for dimension in as_of_either(&other.entity, attribute, &hops) {
                        found.add(context, dimension);
                    }
                }
            }
            if found.list.len() > DIMENSIONS_MAX {
                let message = format!(
                    "entity \"{}\" reaches more than {DIMENSIONS_MAX} dimensions",
                    base.entity.name
                );
                let finding = Finding::error("too_large", message)
                    .at(base.at.key("relationships").place("reaches too much"))
                    .help("Leave out relationships that nobody asks through.");
                context.push(finding);
                return found.list;
            }
            let mut visited = visited.clone();
            visited.push(link.entity.as_str());
            waiting.push_back((other, hops, visited));
        }
    }
    found.list
}

/// The hops, and one more, from the row of `holder` in which the key is looked up.
fn with_hop<'e>(
    hops: &[Hop<'e>],
    link: &'e Relationship,
    holder: &Entity,
    to: &'e Entity,
) -> Vec<Hop<'e>> {
    let mut hops = hops.to_vec();
    if reads_event_key(holder, link) {
        at_event(&mut hops);
    }
    let from = hops.last().map_or(BASE.to_owned(), |hop| hop.to.clone());
    let path = match hops.last() {
        None => link.name.clone(),
        Some(hop) => format!("{}.{}", hop.to, link.name),
    };
    hops.push(Hop { link, from, to: path, key: &to.key });
    hops
}

/// Whether the key of a relationship is an attribute as of the event: then so is what lies behind.
fn reads_event_key(holder: &Entity, link: &Relationship) -> bool {
    let is_of_event = |attribute: &&Attribute| {
        attribute.as_of == AsOf::Event && link.key.contains(&attribute.name)
    };
    holder.attributes.iter().any(|attribute| is_of_event(&attribute))
}

/// Has the last hop lead to the row that was valid at the fact's own time.
fn at_event(hops: &mut [Hop<'_>]) {
    if let Some(last) = hops.last_mut() {
        last.to += AT_EVENT;
    }
}

fn own(entity: &Entity, attribute: &Attribute, name: String, alias_only: bool) -> Dimension {
    Dimension {
        name,
        path: Vec::new(),
        entity: entity.name.clone(),
        attribute: attribute.name.clone(),
        data_type: attribute.data_type.clone(),
        is_uuid: attribute.is_uuid,
        expr: attribute.expr.clone(),
        alias_only,
        unit: attribute.unit.clone(),
        description: attribute.description.clone(),
    }
}

fn related(entity: &Entity, attribute: &Attribute, hops: &[Hop<'_>]) -> Dimension {
    related_as_of(entity, attribute, hops, attribute.as_of)
}

/// `customer_tier_at_event` and `customer_tier_current`: whichever `customer_tier` is, both can be
/// asked for, and side by side.
fn as_of_either(entity: &Entity, attribute: &Attribute, hops: &[Hop<'_>]) -> [Dimension; 2] {
    [(AsOf::Event, "at_event"), (AsOf::Current, "current")].map(|(as_of, suffix)| {
        let dimension = related_as_of(entity, attribute, hops, as_of);
        Dimension { name: format!("{}_{suffix}", dimension.name), alias_only: true, ..dimension }
    })
}

fn related_as_of(
    entity: &Entity,
    attribute: &Attribute,
    hops: &[Hop<'_>],
    as_of: AsOf,
) -> Dimension {
    let path: Vec<String> = hops.iter().map(|hop| hop.link.name.clone()).collect();
    let mut hops = hops.to_vec();
    if as_of == AsOf::Event {
        at_event(&mut hops);
    }
    let qualifier = hops.last().map_or(BASE, |hop| hop.to.as_str());
    let expr = moved(&attribute.expr, qualifier);
    let plain = expr.clone();
    let expr = match attribute.data_type {
        DataType::Utf8 => labelled(expr, &hops),
        _ => expr,
    };
    // A label is no uuid.
    let is_uuid = attribute.is_uuid && expr == plain;
    Dimension {
        name: format!("{}_{}", path.join("_"), attribute.name),
        path,
        entity: entity.name.clone(),
        attribute: attribute.name.clone(),
        data_type: attribute.data_type.clone(),
        is_uuid,
        expr,
        alias_only: false,
        unit: attribute.unit.clone(),
        description: attribute.description.clone(),
    }
}

/// A segment of the entity at the end of a path.
fn segmented(holder: &Draft<'_>, hops: &[Hop<'_>], segment: &str, name: String) -> Dimension {
    let path: Vec<String> = hops.iter().map(|hop| hop.link.name.clone()).collect();
    Dimension {
        name,
        entity: holder.entity.name.clone(),
        attribute: segment.to_owned(),
        data_type: DataType::Utf8,
        is_uuid: false,
        expr: labelled(crate::model::segment::dimension_expr(&path, segment), hops),
        path,
        alias_only: false,
        unit: None,
        description: Some(format!("segment of the {}", holder.entity.name.replace('_', " "))),
    }
}

/// `customer_loyalty_tier_at_event`: the group that the member was in at the fact's own time.
fn segmented_at_event(
    holder: &Draft<'_>,
    hops: &[Hop<'_>],
    segment: &str,
    name: &str,
) -> Dimension {
    let now = segmented(holder, hops, segment, format!("{name}_at_event"));
    let expr = crate::model::segment::dimension_expr_at_event(&now.path, segment);
    let mut hops = hops.to_vec();
    if holder.entity.source.history.is_some() {
        at_event(&mut hops);
    }
    Dimension { expr: labelled(expr, &hops), alias_only: true, ..now }
}

/// An attribute as seen over a dimension's path, without labels for missing and unmatched keys.
pub(super) fn unlabelled(dimension: &Dimension, attribute: &Attribute) -> Expr {
    match dimension.path.is_empty() {
        true => attribute.expr.clone(),
        false => moved(&attribute.expr, &dimension.path.join(".")),
    }
}

/// An attribute's expression as seen over a path.
fn moved(expr: &Expr, qualifier: &str) -> Expr {
    let moved = expr.clone().transform(|expr| {
        Ok(match &expr {
            Expr::Column(found) => Transformed::yes(column(qualifier, &found.name)),
            _ => Transformed::no(expr),
        })
    });
    // The closure above has no error to give.
    moved.map_or_else(|_| expr.clone(), |moved| moved.data)
}

/// The attribute, or the label of the first hop whose link is absent.
///
/// A hop without a label answers NULL there: what lies behind it is absent too, and must not take
/// the label of a later hop.
fn labelled(attribute: Expr, hops: &[Hop<'_>]) -> Expr {
    let mut branches: Vec<(Expr, Option<&String>)> = Vec::new();
    for hop in hops {
        let missing = hop
            .link
            .key
            .iter()
            .map(|name| column(&hop.from, name).is_null())
            .reduce(|left, right| binary_expr(left, Operator::Or, right));
        branches.extend(missing.map(|condition| (condition, hop.link.missing.as_ref())));
        let partner = hop.key.first().map(|name| column(&hop.to, name).is_null());
        branches.extend(partner.map(|condition| (condition, hop.link.unmatched.as_ref())));
    }
    // The attribute is NULL by itself where the last branches say no more.
    while branches.last().is_some_and(|(_, label)| label.is_none()) {
        branches.pop();
    }
    if branches.is_empty() {
        return attribute;
    }
    let branches = branches.into_iter().map(|(condition, label)| {
        let label = lit(ScalarValue::Utf8(label.cloned()));
        (Box::new(condition), Box::new(label))
    });
    Expr::Case(Case::new(None, branches.collect(), Some(Box::new(attribute))))
}

struct Collected<'e, 'a> {
    entities: &'e Entities<'a>,
    base: &'e Draft<'a>,
    list: Vec<Dimension>,
    by_name: BTreeMap<String, usize>,
}

impl Collected<'_, '_> {
    fn add(&mut self, context: &mut Context<'_>, dimension: Dimension) {
        if RESERVED.contains(&dimension.name.as_str()) && !dimension.path.is_empty() {
            let message = format!(
                "dimension \"{}\" has a name that every relation has already",
                dimension.name
            );
            let finding = Finding::error("reserved_name", message)
                .at(self.at(&dimension).place("reserved"))
                .help("Name the relationship's role with \"as\".");
            context.push(finding);
            return;
        }
        if let Some(index) = self.by_name.get(&dimension.name) {
            let other = &self.list[*index];
            if !self.same(other, &dimension) {
                let finding = self.clash(other, &dimension);
                context.push(finding);
            }
            return;
        }
        self.by_name.insert(dimension.name.clone(), self.list.len());
        self.list.push(dimension);
    }

    /// Whether two dimensions of one name may share it: a foreign key and the key that it holds
    /// (`customer_id` in orders, `id` of the customer), or two names of one attribute.
    fn same(&self, first: &Dimension, second: &Dimension) -> bool {
        if first.expr == second.expr {
            return true;
        }
        let Some((role, before)) = second.path.split_last() else { return false };
        let Found::Entity(holder) = self.entities.find(&first.entity) else { return false };
        let link = holder.entity.relationships.iter().find(|link| link.name == *role);
        first.path == before
            && link.is_some_and(|link| link.key == [first.attribute.as_str()])
            && self.is_key(second)
    }

    fn is_key(&self, dimension: &Dimension) -> bool {
        match self.entities.find(&dimension.entity) {
            Found::Entity(draft) => draft.entity.key == [dimension.attribute.as_str()],
            Found::Broken | Found::Unknown => false,
        }
    }

    fn clash(&self, first: &Dimension, second: &Dimension) -> Finding {
        let path = |dimension: &Dimension| match dimension.path.is_empty() {
            true => format!("{}.{}", dimension.entity, dimension.attribute),
            false => {
                let spelled = [("_at_event", " at the event"), ("_current", " as it is now")];
                let spelled = spelled
                    .iter()
                    .find(|(suffix, _)| dimension.alias_only && dimension.name.ends_with(suffix));
                let when = spelled.map_or("", |(_, words)| words);
                format!("{}.{}{when}", dimension.path.join("."), dimension.attribute)
            }
        };
        let message = format!(
            "dimension \"{}\" of entity \"{}\" is both {} and {}",
            second.name,
            self.base.entity.name,
            path(first),
            path(second)
        );
        let help = match second.path.is_empty() {
            true => "Give one of the attributes another name.",
            false => {
                "Name the relationship's role with \"as\", or give the attribute another name."
            }
        };
        Finding::error("name_clash", message)
            .at(self.at(second).place(path(second)))
            .at(self.at(first).place(path(first)))
            .help(help)
    }

    /// The relationship by which a dimension comes in, or the attribute itself.
    fn at(&self, dimension: &Dimension) -> At<'_> {
        let raw = self.base.raw;
        match dimension.path.first() {
            Some(role) => {
                let index = raw
                    .relationships
                    .iter()
                    .position(|link| **link.role.as_ref().unwrap_or(&link.entity) == **role);
                self.base.at.key("relationships").item(index.unwrap_or_default())
            }
            None => {
                let index =
                    raw.attributes.iter().position(|other| *other.name == *dimension.attribute);
                match index {
                    Some(index) => self.base.at.key("attributes").item(index),
                    None => self.base.at.key("key"),
                }
            }
        }
    }
}
