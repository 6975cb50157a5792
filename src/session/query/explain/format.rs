//! Documents of EXPLAIN as texts, laid out as Postgres lays out its own.

use serde_json::Value;

use super::Format;

const INDENT: &str = "  ";

/// A document as one text; `Format::Text` has no documents, and gets JSON.
pub(super) fn written(format: Format, document: &Value) -> String {
    match format {
        Format::Text | Format::Json => format!("{document:#}"),
        Format::Xml => {
            let mut text =
                "<explain xmlns=\"http://www.postgresql.org/2009/explain\">\n".to_owned();
            let queries = document.as_array().map(Vec::as_slice).unwrap_or_default();
            queries.iter().for_each(|query| xml(&mut text, "Query", query, 1));
            text + "</explain>"
        }
        Format::Yaml => {
            let mut text = String::new();
            yaml(&mut text, document, 0);
            text.trim_end().to_owned()
        }
    }
}

/// An element; of a list, an element for each.
fn xml(text: &mut String, name: &str, value: &Value, depth: usize) {
    let margin = INDENT.repeat(depth);
    let tag = name.replace(' ', "-");
    match value {
        Value::Object(parts) => {
            text.push_str(&format!("{margin}<{tag}>\n"));
            parts.iter().for_each(|(name, part)| xml(text, name, part, depth + 1));
            text.push_str(&format!("{margin}</{tag}>\n"));
        }
        Value::Array(items) => {
            let item_tag = if name == "Plans" { "Plan" } else { "Item" };
            text.push_str(&format!("{margin}<{tag}>\n"));
            items.iter().for_each(|item| xml(text, item_tag, item, depth + 1));
            text.push_str(&format!("{margin}</{tag}>\n"));
        }
        value => text.push_str(&format!("{margin}<{tag}>{}</{tag}>\n", escaped(&plain(value)))),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A block; texts are quoted as in JSON, which is YAML.
fn yaml(text: &mut String, value: &Value, depth: usize) {
    let margin = INDENT.repeat(depth);
    match value {
        Value::Object(parts) => {
            for (name, part) in parts {
                // The first name of a list's item stands behind its dash.
                let starts_line = text.is_empty() || text.ends_with('\n');
                text.push_str(&format!("{}{name}: ", if starts_line { &margin } else { "" }));
                after_name(text, part, depth);
            }
        }
        Value::Array(items) => {
            for item in items {
                text.push_str(&format!("{margin}- "));
                match item {
                    Value::Object(_) => yaml(text, item, depth + 1),
                    item => text.push_str(&format!("{item}\n")),
                }
            }
        }
        value => text.push_str(&format!("{value}\n")),
    }
}

fn after_name(text: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Array(items) if items.is_empty() => text.push_str("[]\n"),
        Value::Object(_) | Value::Array(_) => {
            text.push('\n');
            yaml(text, value, depth + 1);
        }
        value => text.push_str(&format!("{value}\n")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_are_laid_out_as_postgres_does() {
        let plans = json!([{"Node Type": "Seq Scan", "Filter": "(a < \"b\")"}]);
        let plan = json!({"Node Type": "Limit", "Parallel Aware": false, "Output": ["a", "b"],
                          "Plans": plans});
        let document = json!([{ "Plan": plan, "Metrics": [] }]);
        let xml = "\
<explain xmlns=\"http://www.postgresql.org/2009/explain\">
  <Query>
    <Plan>
      <Node-Type>Limit</Node-Type>
      <Parallel-Aware>false</Parallel-Aware>
      <Output>
        <Item>a</Item>
        <Item>b</Item>
      </Output>
      <Plans>
        <Plan>
          <Node-Type>Seq Scan</Node-Type>
          <Filter>(a &lt; &quot;b&quot;)</Filter>
        </Plan>
      </Plans>
    </Plan>
    <Metrics>
    </Metrics>
  </Query>
</explain>";
        assert_eq!(written(Format::Xml, &document), xml);
        let yaml = r#"- Plan: 
    Node Type: "Limit"
    Parallel Aware: false
    Output: 
      - "a"
      - "b"
    Plans: 
      - Node Type: "Seq Scan"
        Filter: "(a < \"b\")"
  Metrics: []"#;
        assert_eq!(written(Format::Yaml, &document), yaml);
        let read: serde_json::Value = serde_yaml::from_str(yaml).unwrap();
        assert_eq!(read, document);
        let json = written(Format::Json, &document);
        assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), document);
    }
}
