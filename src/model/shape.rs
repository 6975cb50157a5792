//! A document's shape against the schema of its kind: every fault of it, each with its place.
//!
//! serde stops at a document's first fault. The schema that is made from the same Rust types
//! doesn't have to, so it is walked first; serde then reads what is in shape.

use std::path::Path;

use serde_json::{Map, Value};

use super::near;
use super::spans::{Key, Node, NodeKind, Style};
use crate::diagnostic::{Finding, Place};

/// What a scalar is by YAML 1.2's core schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scalar {
    Nothing,
    Boolean,
    Whole,
    Number,
    Text,
}

/// Checks a node against one of the definitions of a schema, by its name there.
pub(crate) fn check(root: &Value, definition: &str, node: &Node, file: &Path) -> Vec<Finding> {
    let defs = root.get("$defs");
    let mut walk = Walk { defs, file, findings: Vec::new() };
    if let Some(schema) = defs.and_then(|defs| defs.get(definition)) {
        walk.value(schema, node, "");
    }
    walk.findings
}

struct Walk<'a> {
    defs: Option<&'a Value>,
    file: &'a Path,
    findings: Vec<Finding>,
}

impl<'a> Walk<'a> {
    fn value(&mut self, schema: &'a Value, node: &Node, name: &str) {
        let forms = self.forms(schema);
        if self.is_missing(&forms, node) {
            self.empty(name, node.head());
            return;
        }
        if let Some(words) = self.words(&forms) {
            self.word(&words, node, name);
            return;
        }
        match forms.iter().find(|form| fits(form, node)) {
            Some(form) => self.inside(form, node, name),
            None => self.wrong_type(&forms, node, name),
        }
    }

    fn empty(&mut self, name: &str, span: std::ops::Range<usize>) {
        let place =
            Place { file: self.file.to_owned(), span, label: "nothing behind it".to_owned() };
        let finding = Finding::error("empty_value", format!("{} has no value", quoted(name)))
            .at(place)
            .help("Give it a value, or leave the key out.");
        self.findings.push(finding);
    }

    /// Whether there is no value, and `null` is none of the words that may stand there.
    fn is_missing(&self, forms: &[&'a Value], node: &Node) -> bool {
        let is_word = || {
            let words = self.words(forms).unwrap_or_default();
            node.text().is_some_and(|written| words.contains(&written))
        };
        is_nothing(node) && !accepts_anything(forms) && !is_word()
    }

    /// A value behind a key; where there is none, the key is the place to show.
    fn keyed(&mut self, schema: &'a Value, key: &Key, value: &Node) {
        match self.is_missing(&self.forms(schema), value) {
            true => self.empty(&key.text, key.span.clone()),
            false => self.value(schema, value, &key.text),
        }
    }

    /// The alternatives of a schema, references resolved, the one for null left out.
    fn forms(&self, schema: &'a Value) -> Vec<&'a Value> {
        let schema = self.resolved(schema);
        let list = schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Value::as_array);
        match list {
            Some(list) => list.iter().flat_map(|form| self.forms(form)).collect(),
            None if schema.get("type").and_then(Value::as_str) == Some("null") => Vec::new(),
            None => vec![schema],
        }
    }

    fn resolved(&self, schema: &'a Value) -> &'a Value {
        let name =
            schema.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next());
        match (name, self.defs) {
            (Some(name), Some(defs)) => defs.get(name).unwrap_or(schema),
            _ => schema,
        }
    }

    /// The words of an enumeration.
    fn words(&self, forms: &[&'a Value]) -> Option<Vec<&'a str>> {
        let mut words = Vec::new();
        for form in forms {
            match (form.get("const"), form.get("enum").and_then(Value::as_array)) {
                (Some(word), _) => words.extend(word.as_str()),
                (None, Some(list)) => words.extend(list.iter().filter_map(Value::as_str)),
                (None, None) => return None,
            }
        }
        (!words.is_empty()).then_some(words)
    }

    fn word(&mut self, words: &[&str], node: &Node, name: &str) {
        let written = node.text().unwrap_or_default();
        if words.contains(&written) {
            return;
        }
        let message = match node.text() {
            Some(_) => format!("\"{written}\" is not a value of {}", quoted(name)),
            None => format!("{} needs one word, not {}", quoted(name), described(node)),
        };
        let help = near::help(written, words.iter().copied(), "The values are");
        let finding = Finding::error("unknown_value", message)
            .at(self.place(node, "not one of the values"))
            .maybe_help(help);
        self.findings.push(finding);
    }

    fn inside(&mut self, schema: &'a Value, node: &Node, name: &str) {
        match &node.kind {
            NodeKind::Map(_) => self.map(schema, node, name),
            NodeKind::List(items) => {
                let Some(item_schema) = schema.get("items") else { return };
                if items.is_empty() && schema.get("minItems").is_some() {
                    let finding =
                        Finding::error("empty_value", format!("{} has no items", quoted(name)))
                            .at(self.place(node, "nothing here"));
                    self.findings.push(finding);
                }
                for item in items {
                    self.value(item_schema, item, name);
                }
            }
            NodeKind::Scalar { .. } => {}
        }
    }

    fn map(&mut self, schema: &'a Value, node: &Node, name: &str) {
        let NodeKind::Map(entries) = &node.kind else { return };
        let properties = schema.get("properties").and_then(Value::as_object);
        let others = schema.get("additionalProperties");
        // Keys that were probably meant by unknown ones: not to be called missing too.
        let mut meant = Vec::new();
        for (key, value) in entries {
            match (properties.and_then(|properties| properties.get(&key.text)), others) {
                (Some(schema), _) => self.keyed(schema, key, value),
                (None, Some(Value::Bool(false))) => {
                    let message = match name.is_empty() {
                        true => format!("unknown key \"{}\"", key.text),
                        false => format!("unknown key \"{}\" in {}", key.text, quoted(name)),
                    };
                    let known =
                        properties.into_iter().flat_map(|known| known.keys().map(String::as_str));
                    let place = Place {
                        file: self.file.to_owned(),
                        span: key.span.clone(),
                        label: "no such key here".to_owned(),
                    };
                    let known: Vec<&str> = known.collect();
                    let nearest = near::nearest(&key.text, known.iter().copied());
                    meant.extend(nearest.map(str::to_owned));
                    let help = near::help(&key.text, known, "The keys are");
                    self.findings
                        .push(Finding::error("unknown_key", message).at(place).maybe_help(help));
                }
                (None, Some(schema @ Value::Object(_))) => self.keyed(schema, key, value),
                (None, _) => {}
            }
        }
        self.missing(schema, properties, node, name, &meant);
    }

    fn missing(
        &mut self,
        schema: &Value,
        properties: Option<&'a Map<String, Value>>,
        node: &Node,
        name: &str,
        meant: &[String],
    ) {
        let required = schema.get("required").and_then(Value::as_array);
        for key in required.into_iter().flatten().filter_map(Value::as_str) {
            if node.get(key).is_some() || meant.iter().any(|other| other == key) {
                continue;
            }
            let message = match name.is_empty() {
                true => format!("key \"{key}\" is missing"),
                false => format!("key \"{key}\" is missing in {}", quoted(name)),
            };
            let description = properties
                .and_then(|properties| properties.get(key))
                .and_then(|property| {
                    property
                        .get("description")
                        .or_else(|| self.resolved(property).get("description"))
                })
                .and_then(Value::as_str)
                .map(|text| format!("Add \"{key}\": {}", lower_first(text)));
            let place = Place {
                file: self.file.to_owned(),
                span: node.head(),
                label: format!("without \"{key}\""),
            };
            let finding = Finding::error("missing_key", message)
                .at(place)
                .help(description.unwrap_or_else(|| format!("Add \"{key}\".")));
            self.findings.push(finding);
        }
    }

    fn wrong_type(&mut self, forms: &[&Value], node: &Node, name: &str) {
        let wanted: Vec<&str> = forms.iter().map(|form| expected(form)).collect();
        let message =
            format!("{} needs {}, not {}", quoted(name), wanted.join(" or "), described(node));
        let example = forms
            .iter()
            .find_map(|form| form.get("examples")?.get(0)?.as_str())
            .map(|example| format!("Write it as text, for example \"{example}\"."));
        let quotable = match (&node.kind, wanted.contains(&"text")) {
            (NodeKind::Scalar { text, .. }, true) => {
                Some(format!("Write it in quotes: \"{text}\"."))
            }
            _ => None,
        };
        let finding = Finding::error("wrong_type", message)
            .at(self.place(node, &format!("this is {}", described(node))))
            .maybe_help(example.or(quotable));
        self.findings.push(finding);
    }

    fn place(&self, node: &Node, label: &str) -> Place {
        Place { file: self.file.to_owned(), span: node.head(), label: label.to_owned() }
    }
}

fn is_nothing(node: &Node) -> bool {
    matches!(node.kind, NodeKind::Scalar { .. }) && scalar(node) == Scalar::Nothing
}

fn accepts_anything(forms: &[&Value]) -> bool {
    forms.iter().any(|form| {
        form.as_bool() == Some(true) || form.as_object().is_some_and(|form| form.is_empty())
    })
}

/// The words of `type`, which may be one or a list, null left out.
fn types(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => {
            names.iter().filter_map(Value::as_str).filter(|name| *name != "null").collect()
        }
        _ => Vec::new(),
    }
}

fn fits(schema: &Value, node: &Node) -> bool {
    let types = types(schema);
    types.is_empty()
        || types.iter().any(|name| match (*name, &node.kind) {
            ("object", NodeKind::Map(_)) | ("array", NodeKind::List(_)) => true,
            ("string", NodeKind::Scalar { .. }) => scalar(node) == Scalar::Text,
            ("boolean", NodeKind::Scalar { .. }) => scalar(node) == Scalar::Boolean,
            ("integer", NodeKind::Scalar { .. }) => scalar(node) == Scalar::Whole,
            ("number", NodeKind::Scalar { .. }) => {
                matches!(scalar(node), Scalar::Whole | Scalar::Number)
                    || underscored(node.text().unwrap_or_default())
            }
            _ => false,
        })
        || types.contains(&"integer") && underscored(node.text().unwrap_or_default())
}

fn underscored(text: &str) -> bool {
    text.contains('_') && text.replace('_', "").parse::<f64>().is_ok()
}

fn expected(schema: &Value) -> &'static str {
    match types(schema).first().copied() {
        Some("object") => "a mapping",
        Some("array") => "a list",
        Some("boolean") => "true or false",
        Some("integer") => "a whole number",
        Some("number") => "a number",
        _ => "text",
    }
}

fn described(node: &Node) -> String {
    match (&node.kind, scalar(node)) {
        (NodeKind::List(_), _) => "a list".to_owned(),
        (NodeKind::Map(_), _) => "a mapping".to_owned(),
        (NodeKind::Scalar { .. }, Scalar::Nothing) => "nothing".to_owned(),
        (NodeKind::Scalar { text, .. }, Scalar::Boolean) => format!("the truth value {text}"),
        (NodeKind::Scalar { text, .. }, Scalar::Whole | Scalar::Number) => {
            format!("the number {text}")
        }
        (NodeKind::Scalar { .. }, Scalar::Text) => "text".to_owned(),
    }
}

fn scalar(node: &Node) -> Scalar {
    let NodeKind::Scalar { text, style } = &node.kind else { return Scalar::Text };
    if *style != Style::Plain {
        return Scalar::Text;
    }
    match text.as_str() {
        "" | "~" | "null" | "Null" | "NULL" => Scalar::Nothing,
        "true" | "True" | "TRUE" | "false" | "False" | "FALSE" => Scalar::Boolean,
        ".inf" | "-.inf" | "+.inf" | ".nan" => Scalar::Number,
        other => number(other),
    }
}

fn number(text: &str) -> Scalar {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let zero_led = digits.len() > 1 && digits.starts_with('0') && all_digits(digits);
    let based = ["0x", "0o", "0b"].iter().any(|prefix| digits.starts_with(prefix));
    let starts_as_number = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    if all_digits(digits) && !zero_led || based {
        Scalar::Whole
    } else if starts_as_number && !zero_led && digits.parse::<f64>().is_ok() {
        Scalar::Number
    } else {
        Scalar::Text
    }
}

fn quoted(name: &str) -> String {
    match name.is_empty() {
        true => "the document".to_owned(),
        false => format!("\"{name}\""),
    }
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    let first: String = chars.next().into_iter().flat_map(char::to_lowercase).collect();
    let rest = chars.as_str().trim_end_matches('.');
    format!("{first}{rest}.")
}
