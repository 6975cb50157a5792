//! Dimensions that several entities have in common: by these a metric over all of them may be
//! grouped and filtered.

use super::{Dimension, Entity};

impl Entity {
    /// The dimension of this name. `order_customer_country` is the order's `customer_country`, so
    /// that one name serves in all entities that have it.
    pub fn dimension_named(&self, name: &str) -> Option<&Dimension> {
        self.dimension_index(name).and_then(|index| self.dimensions.get(index))
    }

    /// As [`dimension_named`](Self::dimension_named), its index in [`Entity::dimensions`].
    pub fn dimension_index(&self, name: &str) -> Option<usize> {
        let position = |name: &str| self.dimensions.iter().position(|it| it.name == name);
        position(name).or_else(|| position(self.without_own_prefix(name)?))
    }

    /// As [`dimension_index`](Self::dimension_index); of its own attributes, which have two names, that
    /// of the plain one.
    pub(crate) fn plain_index(&self, name: &str) -> Option<usize> {
        let index = self.dimension_index(name)?;
        let dimension = &self.dimensions[index];
        match dimension.alias_only {
            true => self.dimension_index(&dimension.attribute),
            false => Some(index),
        }
    }

    /// `customer_country` for `order_customer_country` in the order.
    pub fn without_own_prefix<'n>(&self, name: &'n str) -> Option<&'n str> {
        name.strip_prefix(self.name.as_str())?.strip_prefix('_')
    }
}

impl Dimension {
    /// Its name without that of its own entity in front.
    pub fn plain_name(&self) -> &str {
        if self.alias_only { &self.attribute } else { &self.name }
    }
}

/// Names that mean the same in each of some entities, the shortest for each meaning, in the order of
/// the first entity's dimensions. `find` gives an entity by its name.
pub(crate) fn dimensions<'e>(
    entities: &[&'e Entity],
    find: impl Fn(&str) -> Option<&'e Entity>,
) -> Vec<String> {
    let mut shared: Vec<(String, Vec<usize>)> = Vec::new();
    let mut add = |name: String| {
        let Some(places) = places(&name, entities, &find) else { return };
        match shared.iter_mut().find(|(_, known)| *known == places) {
            Some((known, _)) if name.len() < known.len() => *known = name,
            Some(_) => {}
            None => shared.push((name, places)),
        }
    };
    for entity in entities {
        for dimension in entity.dimensions.iter().filter(|dimension| !dimension.alias_only) {
            add(dimension.name.clone());
            add(format!("{}_{}", entity.name, dimension.name));
        }
    }
    shared.into_iter().map(|(name, _)| name).collect()
}

/// Where each entity has a name, if it means the same in all.
fn places<'e>(
    name: &str,
    entities: &[&'e Entity],
    find: &impl Fn(&str) -> Option<&'e Entity>,
) -> Option<Vec<usize>> {
    let mut places = Vec::with_capacity(entities.len());
    let mut meaning = None;
    for entity in entities {
        let dimension = entity.dimension_named(name)?;
        let own = (target(dimension, find), &dimension.data_type);
        if *meaning.get_or_insert_with(|| own.clone()) != own {
            return None;
        }
        places.push(entity.plain_index(name)?);
    }
    Some(places)
}

/// The attribute that a dimension shows: of a foreign key the key that it holds.
fn target<'e>(
    dimension: &Dimension,
    find: &impl Fn(&str) -> Option<&'e Entity>,
) -> (String, String) {
    let referenced = || {
        let holder = find(&dimension.entity)?;
        let link = holder.relationships.iter().find(|link| link.key == [&*dimension.attribute])?;
        match find(&link.entity)?.key.as_slice() {
            [key] => Some((link.entity.clone(), key.clone())),
            _ => None,
        }
    };
    referenced().unwrap_or_else(|| (dimension.entity.clone(), dimension.attribute.clone()))
}
