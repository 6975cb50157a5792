//! OIDs that are the same on every replica and after every restart.

use std::collections::{BTreeSet, HashMap};

/// The first OID that isn't Postgres's own (`FirstNormalObjectId`).
const FIRST: u64 = 16_384;
/// Clients read OIDs into signed 32-bit integers.
const LAST: u64 = i32::MAX as u64;

/// OIDs of named things: a hash of the name, folded into the range of users' objects. Of two names
/// with one hash, the later in the alphabet takes the next free OID.
pub(super) fn assign(names: BTreeSet<String>) -> HashMap<String, i64> {
    let mut taken = HashMap::with_capacity(names.len());
    let mut oids = HashMap::with_capacity(names.len());
    for name in names {
        let mut oid = FIRST + hash(&name) % (LAST - FIRST);
        while taken.contains_key(&oid) {
            oid = if oid + 1 >= LAST { FIRST } else { oid + 1 };
        }
        taken.insert(oid, ());
        oids.insert(name, oid.cast_signed());
    }
    oids
}

/// FNV-1a, written out: the standard library's hasher may change between releases.
fn hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oids_follow_from_names_alone() {
        let few = assign(BTreeSet::from(["relation public.orders".to_owned()]));
        let many = assign(
            (0..500)
                .map(|n| format!("relation public.t{n}"))
                .chain(["relation public.orders".to_owned()])
                .collect(),
        );
        assert_eq!(few["relation public.orders"], many["relation public.orders"]);
        let distinct: BTreeSet<_> = many.values().collect();
        assert_eq!(distinct.len(), 501);
        assert!(many.values().all(|oid| (16_384..i64::from(i32::MAX)).contains(oid)));
    }
}
