//! Metrics beside those of an earlier period: their rows are the same but for how much later they
//! count, so where that is by whole periods they are read and aggregated once, by the period that
//! they happened in. Each of these groups then counts in several.

use datafusion::logical_expr::{Expr, LogicalPlan, and, cast, lit, or, when};

use super::super::atoms::{Over, atom_name};
use super::super::error::PlanError;
use super::super::expand::TimeOf;
use super::super::rewrite::{aggregate, aggregated, filtered, projected};
use super::super::shares::Share;
use super::super::shift::Shift;
use super::super::spread::Spread;
use super::bounds::Asked;
use super::periods::Periods;
use super::windows::{
    Kept, PERIOD, WALL, WallCondition, argument, column, condition, other_key, without_time,
};
use super::{Branch, Evaluation, key_name};
use crate::functions::Grain;

/// As which of the branches a group is counted.
const AS: &str = "__as";

/// Whether a row passes the statement's filters of time in a branch, or a group has one that does.
fn shown(index: usize) -> String {
    format!("__shown{index}")
}

/// The groups of rows of several branches, and what they ask for.
struct Together<'b> {
    branches: Vec<&'b Branch>,
    instance: usize,
    periods: Periods,
    grain: Grain,
    asked: Asked,
}

impl Evaluation<'_, '_, '_> {
    /// The branches' rows, aggregated by the keys, and whether some keys have several rows.
    pub(super) fn plans(
        &mut self,
        branches: &[Branch],
    ) -> Result<(Vec<LogicalPlan>, bool), PlanError> {
        let (mut plans, mut has_several) = (Vec::new(), false);
        let mut left: Vec<&Branch> = branches.iter().collect();
        while !left.is_empty() {
            let first = left.remove(0);
            let (alike, others) = left.into_iter().partition(|it| self.are_alike(first, it));
            left = others;
            match self.together([vec![first], alike].concat()) {
                Ok(together) => {
                    plans.push(self.at_once(&together)?);
                    has_several = true;
                }
                Err(single) => {
                    for branch in single {
                        plans.push(self.branch(branch, branches)?);
                    }
                }
            }
        }
        Ok((plans, has_several))
    }

    /// Whether two branches have the same rows but for the time by which these count.
    fn are_alike(&self, one: &Branch, other: &Branch) -> bool {
        let unshifted = |branch: &Branch| {
            branch.time.as_ref().map(|time| TimeOf { shift: None, ..time.clone() })
        };
        let is_plain = |branch: &Branch| {
            let repeats = branch.instance.is_some_and(|instance| self.fanout.repeats(instance));
            let reads_time = |index: &usize| {
                let (filter, instance) = (self.atoms[*index].filter.as_ref(), branch.instance);
                filter.zip(instance).is_some_and(|(it, instance)| self.reads_time(it, instance))
            };
            branch.over == Over::Group
                && branch.share == Share::Once
                && branch.earlier.is_none()
                && !branch.has_plain
                && !repeats
                && !branch.atoms.iter().any(reads_time)
        };
        let mut conditions =
            one.atoms.iter().chain(&other.atoms).map(|index| &self.atoms[*index].conditions);
        let first = conditions.next();
        is_plain(one)
            && is_plain(other)
            && one.instance == other.instance
            && one.entity == other.entity
            && one.known_by == other.known_by
            && one.time.is_some()
            && unshifted(one) == unshifted(other)
            && conditions.all(|it| Some(it) == first)
    }

    /// The branches that are to be read at once; else they are given back.
    fn together<'b>(&self, branches: Vec<&'b Branch>) -> Result<Together<'b>, Vec<&'b Branch>> {
        let is_set = |key: &Expr| matches!(key, Expr::GroupingSet(_));
        let has_sets = self.aggregate.group_expr.iter().any(is_set);
        let instance = branches.first().and_then(|branch| branch.instance);
        let Some(instance) = instance.filter(|_| {
            branches.len() > 1 && self.spine.is_none() && self.filling.is_none() && !has_sets
        }) else {
            return Err(branches);
        };
        let (asked, periods) = (self.asked_times(instance), Periods::of(self, instance));
        let Ok(periods) = periods else { return Err(branches) };
        let whole_periods = |branch: &&Branch| match shift_of(branch) {
            Some(shift) => periods.check_shift(shift).is_ok() && !periods.has_gaps(shift),
            None => true,
        };
        match periods.grain_of_key() {
            Some(grain @ (Grain::Of(_) | Grain::WeekFrom(_)))
                if asked.is_exact && branches.iter().all(whole_periods) =>
            {
                Ok(Together { branches, instance, periods, grain, asked })
            }
            _ => Err(branches),
        }
    }

    /// The groups of all branches, each as often as it counts: columns `__g…`, `__a…`.
    fn at_once(&mut self, together: &Together<'_>) -> Result<LogicalPlan, PlanError> {
        let groups = self.by_own_period(together)?;
        let Together { branches, instance, periods, .. } = together;
        let count = i64::try_from(branches.len());
        let count = count.map_err(|_| PlanError::Internal("too many branches".to_owned()))?;
        let groups = Spread::plan(groups, AS, lit(0i64), lit(count))?;

        let as_each = |of: &dyn Fn(usize, &Branch) -> Expr| -> Result<Expr, PlanError> {
            let mut each = branches.iter().enumerate().map(|(index, it)| of(index, it));
            let first = each.next().unwrap_or_else(|| lit(true));
            let mut rest = (1i64..).zip(each);
            let Some((index, second)) = rest.next() else { return Ok(first) };
            let mut case = when(column(AS).eq(lit(index)), second);
            for (index, value) in rest {
                case.when(column(AS).eq(lit(index)), value);
            }
            Ok(case.otherwise(first)?)
        };
        let mut exprs = Vec::new();
        let others = self.other_keys(*instance);
        for index in 0..self.aggregate.group_expr.len() {
            let key = match others.iter().any(|(other, _)| *other == index) {
                true => column(other_key(index)),
                false => {
                    let later = |_: usize, branch: &Branch| match shift_of(branch) {
                        Some(shift) => shift.later(column(PERIOD)),
                        None => column(PERIOD),
                    };
                    let period = as_each(&later)?;
                    match periods.key_type(self.input.schema())? {
                        Some(data_type) => cast(period, data_type),
                        None => period,
                    }
                }
            };
            exprs.push(key.alias(key_name(index)));
        }
        for (index, branch) in (0i64..).zip(branches) {
            for atom in &branch.atoms {
                let value = when(column(AS).eq(lit(index)), column(atom_name(*atom))).end()?;
                exprs.push(value.alias(atom_name(*atom)));
            }
        }
        let is_shown = as_each(&|index, _| column(shown(index)))?;
        projected(filtered(groups, is_shown)?, exprs)
    }

    /// The rows that count in any branch, aggregated by the period in which they happened.
    fn by_own_period(&mut self, together: &Together<'_>) -> Result<LogicalPlan, PlanError> {
        let Together { branches, instance, grain, asked, .. } = together;
        let missing = || PlanError::Internal("a branch without a time".to_owned());
        let first = branches.first().ok_or_else(missing)?;
        let time = first.time.clone().map(|time| TimeOf { shift: None, ..time });
        let atoms = branches.iter().flat_map(|branch| branch.atoms.iter().copied()).collect();
        let all = Branch { time, atoms, ..(*first).clone() };

        let is_shown = |branch: &Branch, wall: Expr| {
            let wall =
                shift_of(branch).map_or_else(|| wall.clone(), |shift| shift.later(wall.clone()));
            asked.holds(&wall).unwrap_or_else(|| lit(true))
        };
        let each: Vec<_> =
            branches.iter().map(|branch| move |wall: Expr| is_shown(branch, wall)).collect();
        let of_wall = each.iter().enumerate();
        let of_wall = of_wall.map(|(index, it)| (it as WallCondition<'_>, shown(index))).collect();
        let rows = without_time(self.input, *instance)?;
        let rows = self.narrowed(&all, *instance, &rows, Kept::Existing, (Vec::new(), of_wall))?;
        let any_shown = (0..branches.len()).map(|index| column(shown(index))).reduce(or);
        let rows = match any_shown.filter(|_| asked.holds(&lit(true)).is_some()) {
            Some(any_shown) => filtered(rows, any_shown)?,
            None => rows,
        };

        let mut keys = vec![grain.truncated(column(WALL)).alias(PERIOD)];
        keys.extend(self.other_keys(*instance).iter().map(|(index, _)| column(other_key(*index))));
        let mut values = Vec::new();
        for (index, branch) in branches.iter().enumerate() {
            for atom in &branch.atoms {
                let is_counted = match self.atoms[*atom].filter {
                    Some(_) => and(column(shown(index)), column(condition(*atom))),
                    None => column(shown(index)),
                };
                let value = Some(column(argument(*atom)));
                let value = self.atoms[*atom].aggregate(value, Some(is_counted))?;
                values.push(value.alias(atom_name(*atom)));
            }
            values.push(aggregate("bool_or", column(shown(index)))?.alias(shown(index)));
        }
        aggregated(rows, keys, values)
    }
}

fn shift_of(branch: &Branch) -> Option<&Shift> {
    branch.time.as_ref()?.shift.as_ref()
}
