//! What identifies an answer.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use datafusion::logical_expr::LogicalPlan;

/// Digest of the definitions that a plan was made from.
pub type ModelFingerprint = [u8; 32];

/// Over the same data, equal keys have equal answers. Whatever else can change an answer is a field.
///
/// The plan is the finished one, before a backend takes its part: names of the user's are not in it,
/// literals and parameters are. Versions and settings that change the meaning have changed the plan.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CacheKey {
    pub model: ModelFingerprint,
    pub plan: KeyPlan,
    /// Source tables with the change tokens of their data, sorted by table.
    pub sources: Vec<(String, String)>,
}

/// A plan whose hash is known: each look-up would walk all of the plan for it, which takes longer
/// than the rest of an answer from memory.
#[derive(Debug, Clone)]
pub struct KeyPlan {
    plan: Arc<LogicalPlan>,
    hash: u64,
}

impl KeyPlan {
    pub fn new(plan: LogicalPlan) -> Self {
        let mut hasher = DefaultHasher::new();
        plan.hash(&mut hasher);
        Self { plan: Arc::new(plan), hash: hasher.finish() }
    }

    pub fn plan(&self) -> &LogicalPlan {
        &self.plan
    }
}

impl PartialEq for KeyPlan {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.plan, &other.plan) || (self.hash == other.hash && self.plan == other.plan)
    }
}

impl Eq for KeyPlan {}

impl Hash for KeyPlan {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::logical_expr::{LogicalPlanBuilder, lit};

    fn of(value: i64) -> KeyPlan {
        let plan = LogicalPlanBuilder::empty(true).project(vec![lit(value)]);
        KeyPlan::new(plan.unwrap().build().unwrap())
    }

    #[test]
    fn plans_are_equal_by_what_they_are() {
        assert_eq!(of(1), of(1));
        assert_eq!(of(1).hash, of(1).hash);
        assert_ne!(of(1), of(2));
    }
}
