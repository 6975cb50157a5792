//! The groups into which the segment puts customers.

use super::aggregate::aggregate;
use super::{Oracle, passes};
use crate::oracle::definitions::{Reference, Rule};
use crate::oracle::expression::{Span, wall_clock};
use crate::oracle::value::Value;
use crate::oracle::world::{CUSTOMERS, Grades, Row, VISITS};

impl Oracle<'_> {
    /// The group of each customer.
    pub(super) fn grades(&self) -> Grades {
        let segment = &self.definitions.segment;
        let own = self.world.facts(CUSTOMERS, None, self.now, &Grades::new());
        let grade = |customer: &Row| {
            let Value::Int(key) = customer["id"] else { panic!("keys are never NULL") };
            let rule = segment.rules.iter().find(|(_, rule)| match rule {
                Rule::Attribute(condition) => condition.holds(customer, None) == Some(true),
                Rule::Metric(metric, days, bound) => {
                    let value = self.of_customer(*metric, key, *days);
                    passes(&value, ">=", &Value::Int(*bound))
                }
            });
            let name = rule.map(|(name, _)| *name).or(segment.otherwise);
            (key, name.map_or(Value::Null, |name| Value::Text(name.to_owned())))
        };
        own.iter().map(grade).collect()
    }

    /// A metric of the visits of a customer, over some days up to now.
    fn of_customer(&self, reference: Reference, key: i64, days: Option<u64>) -> Value {
        let version = self.definitions.version(reference);
        let reader = self.reader(reference).of(version, None);
        let mut rows = self.eligible(&reader, &self.facts[&(VISITS, version.event)]);
        rows.retain(|it| {
            let recent = days.is_none_or(|days| {
                let now = wall_clock(self.now, version.zone.of_no_row());
                let from = Span { months: 0, days }.before(now);
                it.wall.is_some_and(|wall| from < wall && wall <= now)
            });
            it.row["customer_id"] == Value::Int(key) && recent
        });
        let rows: Vec<&Row> = rows.iter().map(|it| it.row).collect();
        aggregate(&version.shape, &rows)
    }
}
