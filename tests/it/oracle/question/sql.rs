//! Questions as statements.

use super::{Grouping, Key, Measure, Nesting, Question, Spelling};

impl Question {
    pub(crate) fn sql(&self) -> String {
        let source = if self.nesting == Nesting::None { String::new() } else { "s.".to_owned() };
        let mut outputs = Vec::new();
        for (index, key) in self.keys.iter().enumerate() {
            outputs.push(format!("{} AS k{index}", self.key_sql(key)));
        }
        for (index, measure) in self.measures.iter().enumerate() {
            outputs.push(format!("{} AS v{index}", self.measure_sql(measure, &source)));
        }
        if self.counts_rows {
            outputs.push("COUNT(*) AS n".to_owned());
        }
        let (prefix, from) = self.from();
        let mut sql = format!("{prefix}SELECT {} FROM {from}", outputs.join(", "));
        if let Some(filter) = self.filter.as_ref().filter(|_| !self.is_filtered_inside()) {
            sql.push_str(&format!(" WHERE {}", filter.sql(self.names())));
        }
        sql.push_str(&self.group_by());
        if let Some((index, operator, value)) = &self.having {
            let column = self.measures[*index].column(&source);
            sql.push_str(&format!(" HAVING MEASURE({column}) {operator} {value}"));
        }
        if self.ordered && !self.keys.is_empty() {
            let names: Vec<String> = (0..self.keys.len())
                .map(|index| match self.ordinals {
                    true => (index + 1).to_string(),
                    false => format!("k{index}"),
                })
                .collect();
            sql.push_str(&format!(" ORDER BY {}", names.join(", ")));
        }
        sql
    }

    fn is_filtered_inside(&self) -> bool {
        self.filter_inside && self.nesting != Nesting::None
    }

    /// What stands before the select, and its FROM item.
    fn from(&self) -> (String, String) {
        let inner = |columns: String| {
            let filter = self.filter.as_ref().filter(|_| self.is_filtered_inside());
            let filter = filter.map(|it| format!(" WHERE {}", it.sql(self.names())));
            format!("SELECT {columns} FROM {}{}", self.from, filter.unwrap_or_default())
        };
        match self.nesting {
            Nesting::None => (String::new(), self.from.clone()),
            Nesting::Columns => (String::new(), format!("({}) AS s", inner(self.columns()))),
            Nesting::Star => (String::new(), format!("({}) AS s", inner("*".to_owned()))),
            Nesting::Cte => (format!("WITH s AS ({}) ", inner("*".to_owned())), "s".to_owned()),
        }
    }

    /// The columns that a nested select has to show.
    fn columns(&self) -> String {
        let mut names: Vec<String> = Vec::new();
        for key in &self.keys {
            if let Key::Dimension(attribute) = key {
                names.push(attribute.name.clone());
            }
        }
        let filters = self.measures.iter().filter_map(|measure| measure.filter.as_ref());
        filters.chain(&self.filter).for_each(|filter| filter.names(&mut names));
        if self.uses_time() {
            names.push("metric_time".to_owned());
        }
        names.extend(self.measures.iter().map(|measure| measure.column.clone()));
        let mut distinct: Vec<String> = Vec::new();
        for name in names {
            if !distinct.contains(&name) {
                distinct.push(name);
            }
        }
        distinct.join(", ")
    }

    fn group_by(&self) -> String {
        if self.keys.is_empty() || self.grouping == Grouping::Implied {
            return String::new();
        }
        let name = |index: usize| match self.ordinals && self.grouping == Grouping::Plain {
            true => (index + 1).to_string(),
            false => self.key_sql(&self.keys[index]),
        };
        let names: Vec<String> = (0..self.keys.len()).map(name).collect();
        let list = names.join(", ");
        match self.grouping {
            Grouping::Implied | Grouping::Plain => format!(" GROUP BY {list}"),
            Grouping::Rollup => format!(" GROUP BY ROLLUP ({list})"),
            Grouping::Cube => format!(" GROUP BY CUBE ({list})"),
            Grouping::Sets => format!(" GROUP BY GROUPING SETS (({list}), ({}), ())", names[0]),
        }
    }

    fn measure_sql(&self, measure: &Measure, source: &str) -> String {
        let column = measure.column(source);
        let filter = measure.filter.as_ref().map(|filter| filter.sql(self.names()));
        let call = match (measure.spelling, &filter) {
            (Spelling::Case, Some(filter)) => {
                return format!("SUM(CASE WHEN {filter} THEN {column} END)");
            }
            (Spelling::Bare, None) => return column,
            (Spelling::Bare | Spelling::Case, _) => format!("MEASURE({column})"),
            (Spelling::Call(name), _) => format!("{name}({column})"),
            (Spelling::CountDistinct, _) => format!("COUNT(DISTINCT {column})"),
        };
        let call = match filter {
            Some(filter) => format!("{call} FILTER (WHERE {filter})"),
            None => call,
        };
        let Some(level) = &measure.level else { return call };
        let keys: Vec<String> =
            level.iter().map(|index| self.key_sql(&self.keys[*index])).collect();
        match keys.is_empty() {
            true => format!("{call} OVER ()"),
            false => format!("{call} OVER (PARTITION BY {})", keys.join(", ")),
        }
    }

    fn key_sql(&self, key: &Key) -> String {
        match key {
            Key::Dimension(attribute) => attribute.column.clone(),
            Key::Period(grain) => {
                format!("date_trunc('{}', {})", grain.name(), self.names().time())
            }
            Key::Time => self.names().time(),
        }
    }
}

impl Measure {
    pub(super) fn column(&self, source: &str) -> String {
        format!("{source}{}{}", self.alias, self.column)
    }
}
