//! YAML as a tree that knows where everything stands: the places for findings.
//!
//! `serde_yaml` keeps no places of values, so each file is read once more, here, from the events of
//! `yaml-rust2`. This pass also sets the bounds (depth, size after aliases), so that what
//! `serde_yaml` sees afterwards is small.

use std::collections::HashMap;
use std::ops::Range;

use yaml_rust2::parser::{Event, Parser};
use yaml_rust2::scanner::{Marker, TScalarStyle};

/// Lists and mappings inside each other; the format needs seven.
const DEPTH_MAX: usize = 32;
/// Keys and values of one file, aliases replaced by what they stand for.
const NODES_MAX: usize = 200_000;
/// Documents of one file.
pub(crate) const DOCUMENTS_MAX: usize = 10_000;

/// A value and its place, in bytes of the file.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) span: Range<usize>,
    pub(crate) kind: NodeKind,
}

#[derive(Debug, Clone)]
pub(crate) enum NodeKind {
    Scalar { text: String, style: Style },
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A key of a mapping.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) text: String,
    pub(crate) span: Range<usize>,
}

/// How a scalar is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    SingleQuoted,
    DoubleQuoted,
    /// `|`
    Literal,
    /// `>`
    Folded,
}

impl Node {
    /// The value of a key, where this is a mapping that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|(_, value)| value)
    }

    /// A key and its value, where this is a mapping that has it.
    pub(crate) fn entry(&self, key: &str) -> Option<(&Key, &Node)> {
        match &self.kind {
            NodeKind::Map(entries) => {
                entries.iter().find(|(name, _)| name.text == key).map(|(name, value)| (name, value))
            }
            NodeKind::Scalar { .. } | NodeKind::List(_) => None,
        }
    }

    /// An item, where this is a list that has it.
    pub(crate) fn item(&self, index: usize) -> Option<&Node> {
        match &self.kind {
            NodeKind::List(items) => items.get(index),
            NodeKind::Scalar { .. } | NodeKind::Map(_) => None,
        }
    }

    /// The text of a scalar.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.kind {
            NodeKind::Scalar { text, .. } => Some(text),
            NodeKind::List(_) | NodeKind::Map(_) => None,
        }
    }

    /// Where one should look first: a scalar or a list whole, of a mapping the first key.
    pub(crate) fn head(&self) -> Range<usize> {
        match &self.kind {
            NodeKind::Map(entries) => {
                entries.first().map_or(self.span.clone(), |(key, _)| key.span.clone())
            }
            NodeKind::Scalar { .. } | NodeKind::List(_) => self.span.clone(),
        }
    }
}

/// A document with content, and how many documents of its file come before it, empty ones included.
#[derive(Debug, Clone)]
pub(crate) struct Parsed {
    pub(crate) ordinal: usize,
    pub(crate) root: Node,
}

/// Why a text isn't a list of documents; parsing ends there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SpansError {
    pub(crate) kind: SpansErrorKind,
    pub(crate) span: Range<usize>,
    /// The other place, of what stands there twice.
    pub(crate) first: Option<Range<usize>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SpansErrorKind {
    /// What the parser said.
    Syntax(String),
    DuplicateKey(String),
    /// A key that is a list or a mapping.
    KeyNotText,
    Tag,
    TooDeep,
    TooLarge,
    TooManyDocuments,
}

/// The documents of a YAML text; those without content are left out.
///
/// # Errors
/// The first place that isn't YAML, or goes beyond the bounds; with it the documents before it.
pub(crate) fn parse(text: &str) -> (Vec<Parsed>, Option<SpansError>) {
    let mut builder = Builder::new(text);
    let error = builder.run().err();
    (builder.documents, error)
}

enum Open {
    List { start: usize, anchor: usize, items: Vec<Node> },
    Map { start: usize, anchor: usize, entries: Vec<(Key, Node)>, key: Option<Key> },
}

struct Builder<'a> {
    text: &'a str,
    /// Byte offset of each character, and of the end.
    offsets: Vec<usize>,
    documents: Vec<Parsed>,
    /// Documents begun.
    begun: usize,
    open: Vec<Open>,
    /// Anchored nodes and how many nodes each holds.
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
}

impl<'a> Builder<'a> {
    fn new(text: &'a str) -> Self {
        let mut offsets: Vec<usize> = text.char_indices().map(|(offset, _)| offset).collect();
        offsets.push(text.len());
        Self {
            text,
            offsets,
            documents: Vec::new(),
            begun: 0,
            open: Vec::new(),
            anchors: HashMap::new(),
            nodes: 0,
        }
    }

    fn run(&mut self) -> Result<(), SpansError> {
        let mut parser = Parser::new_from_str(self.text);
        loop {
            let (event, mark) = parser.next_token().map_err(|error| {
                let at = self.byte(error.marker());
                // The mark is where the scalar with the tab begins.
                let tab = self.text[at..].find('\t').filter(|_| error.info().contains("tab"));
                let at = at + tab.unwrap_or(0);
                let kind = SpansErrorKind::Syntax(error.info().to_owned());
                SpansError { kind, span: self.visible(at), first: None }
            })?;
            match event {
                Event::StreamEnd => return Ok(()),
                Event::DocumentStart => {
                    self.begun += 1;
                    // An anchor ends with its document.
                    self.anchors.clear();
                    if self.begun > DOCUMENTS_MAX {
                        return Err(self.error(SpansErrorKind::TooManyDocuments, mark));
                    }
                }
                Event::Nothing | Event::StreamStart | Event::DocumentEnd => {}
                other => self.content(other, mark)?,
            }
        }
    }

    fn content(&mut self, event: Event, mark: Marker) -> Result<(), SpansError> {
        let start = self.byte(&mark);
        match event {
            Event::Scalar(_, _, _, Some(_))
            | Event::SequenceStart(_, Some(_))
            | Event::MappingStart(_, Some(_)) => Err(self.error(SpansErrorKind::Tag, mark)),
            Event::Scalar(value, style, anchor, None) => {
                let node = self.scalar(value, style, start);
                self.count(1, mark)?;
                self.finish(node, anchor, 1)
            }
            Event::Alias(id) => match self.anchors.get(&id).cloned() {
                Some((node, size)) => {
                    self.count(size, mark)?;
                    self.finish(node, 0, size)
                }
                None => {
                    let kind = SpansErrorKind::Syntax(
                        "an alias of nothing that stands before it in its document".to_owned(),
                    );
                    Err(self.error(kind, mark))
                }
            },
            Event::SequenceStart(anchor, None) => {
                self.push(Open::List { start, anchor, items: Vec::new() }, mark)
            }
            Event::MappingStart(anchor, None) => {
                self.push(Open::Map { start, anchor, entries: Vec::new(), key: None }, mark)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(start, mark),
            _ => Ok(()),
        }
    }

    fn push(&mut self, open: Open, mark: Marker) -> Result<(), SpansError> {
        if let Some(Open::Map { key: None, .. }) = self.open.last() {
            return Err(self.error(SpansErrorKind::KeyNotText, mark));
        }
        if self.open.len() >= DEPTH_MAX {
            return Err(self.error(SpansErrorKind::TooDeep, mark));
        }
        self.count(1, mark)?;
        self.open.push(open);
        Ok(())
    }

    fn close(&mut self, end: usize, mark: Marker) -> Result<(), SpansError> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let (start, anchor, kind) = match open {
            Open::List { start, anchor, items } => (start, anchor, NodeKind::List(items)),
            Open::Map { start, anchor, entries, .. } => (start, anchor, NodeKind::Map(entries)),
        };
        let end = self.trimmed(start, end, &kind);
        let node = Node { span: start..end, kind };
        let size = if anchor == 0 { 0 } else { size_of(&node) };
        let _ = mark;
        self.finish(node, anchor, size)
    }

    /// Puts a complete node where it belongs.
    fn finish(&mut self, node: Node, anchor: usize, size: usize) -> Result<(), SpansError> {
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), size));
        }
        match self.open.last_mut() {
            None => {
                let empty = matches!(&node.kind, NodeKind::Scalar { text, style: Style::Plain } if text.is_empty());
                if !empty {
                    self.documents.push(Parsed { ordinal: self.begun - 1, root: node });
                }
            }
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, key, .. }) => match key.take() {
                Some(key) => entries.push((key, node)),
                None => match node.kind {
                    NodeKind::Scalar { text, .. } => {
                        if let Some((first, _)) = entries.iter().find(|(key, _)| key.text == text) {
                            return Err(SpansError {
                                span: node.span,
                                first: Some(first.span.clone()),
                                kind: SpansErrorKind::DuplicateKey(text),
                            });
                        }
                        *key = Some(Key { text, span: node.span });
                    }
                    NodeKind::List(_) | NodeKind::Map(_) => {
                        let kind = SpansErrorKind::KeyNotText;
                        return Err(SpansError { kind, span: node.span, first: None });
                    }
                },
            },
        }
        Ok(())
    }

    fn count(&mut self, nodes: usize, mark: Marker) -> Result<(), SpansError> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > NODES_MAX {
            return Err(self.error(SpansErrorKind::TooLarge, mark));
        }
        Ok(())
    }

    fn scalar(&self, text: String, style: TScalarStyle, start: usize) -> Node {
        let style = match style {
            TScalarStyle::Plain => Style::Plain,
            TScalarStyle::SingleQuoted => Style::SingleQuoted,
            TScalarStyle::DoubleQuoted => Style::DoubleQuoted,
            TScalarStyle::Literal => Style::Literal,
            TScalarStyle::Folded => Style::Folded,
        };
        let start = self.content_start(start, style, &text);
        let end = align(self.text, start, &text, style).end;
        Node { span: start..end, kind: NodeKind::Scalar { text, style } }
    }

    /// The mark of a block scalar is its indicator or its first line, as it happens; the content
    /// starts at the first line that has some.
    fn content_start(&self, start: usize, style: Style, text: &str) -> usize {
        if !matches!(style, Style::Literal | Style::Folded) {
            return start;
        }
        let rest = &self.text[start..];
        let header = match rest.chars().next() {
            Some('|' | '>') if !text.starts_with(['|', '>']) => {
                rest.find('\n').map_or(rest.len(), |end| end + 1)
            }
            _ => 0,
        };
        let body = &rest[header..];
        start + header + (body.len() - body.trim_start().len())
    }

    fn byte(&self, mark: &Marker) -> usize {
        self.offsets.get(mark.index()).copied().unwrap_or(self.text.len())
    }

    fn error(&self, kind: SpansErrorKind, mark: Marker) -> SpansError {
        SpansError { kind, span: self.visible(self.byte(&mark)), first: None }
    }

    /// One character at `at`, or the last one of the text that can be seen.
    fn visible(&self, at: usize) -> Range<usize> {
        let at = if self.text[at..].trim().is_empty() { self.text.trim_end().len() } else { at };
        let before = self.text[..at].char_indices().next_back().map_or(0, |(offset, _)| offset);
        match self.text[at..].chars().next() {
            Some(c) if !c.is_whitespace() || c == '\t' => at..at + c.len_utf8(),
            _ => before..at,
        }
    }

    /// The mark of the end of a block lies at the next token, maybe lines below.
    fn trimmed(&self, start: usize, end: usize, kind: &NodeKind) -> usize {
        let last = match kind {
            NodeKind::List(items) => items.last().map(|item| item.span.end),
            NodeKind::Map(entries) => entries.last().map(|(_, value)| value.span.end),
            NodeKind::Scalar { .. } => None,
        };
        match self.text[start..].chars().next() {
            Some('[' | '{') => (end + 1).min(self.text.len()),
            _ => last.filter(|last| *last >= start).unwrap_or(end.max(start)),
        }
    }
}

fn size_of(node: &Node) -> usize {
    match &node.kind {
        NodeKind::Scalar { .. } => 1,
        NodeKind::List(items) => 1 + items.iter().map(size_of).sum::<usize>(),
        NodeKind::Map(entries) => {
            1 + entries.iter().map(|(_, value)| 1 + size_of(value)).sum::<usize>()
        }
    }
}

/// Which bytes of the file the characters of a scalar's value come from.
#[derive(Debug, Clone)]
pub(crate) struct Alignment {
    /// Byte offset of each character, and of the end of the last.
    pub(crate) offsets: Vec<usize>,
    /// After the scalar, its closing quote included.
    pub(crate) end: usize,
}

impl Alignment {
    /// The bytes of the file behind a range of the value's characters.
    pub(crate) fn range(&self, chars: Range<usize>) -> Range<usize> {
        let last = self.offsets.len() - 1;
        let start = self.offsets[chars.start.min(last)];
        let end = match chars.end {
            0 => start,
            end => self.offsets.get(end).copied().unwrap_or(self.offsets[last]),
        };
        start..end.max(start)
    }
}

/// Walks the file and the value side by side, over the indentation, folded line ends and escapes
/// that the value no longer has. `start` is where the scalar starts, its opening quote included.
pub(crate) fn align(file: &str, start: usize, value: &str, style: Style) -> Alignment {
    let quote = match style {
        Style::SingleQuoted => Some('\''),
        Style::DoubleQuoted => Some('"'),
        Style::Plain | Style::Literal | Style::Folded => None,
    };
    let mut at = start + usize::from(quote.is_some());
    let mut offsets = Vec::with_capacity(value.len() + 1);
    let mut fresh_line = false;
    for c in value.chars() {
        let rest = &file[at.min(file.len())..];
        if fresh_line && !c.is_whitespace() || style == Style::Folded && !c.is_whitespace() {
            at += rest.len() - rest.trim_start().len();
        } else if fresh_line && c != '\n' {
            // A blank of the value, not of the indentation: the last ones of the run.
            at = start_of_blanks(file, at, start);
        }
        let rest = &file[at.min(file.len())..];
        offsets.push(at);
        fresh_line = false;
        at += match c {
            '\n' | ' ' if quote.is_some() || style == Style::Plain => {
                let blanks = rest.len() - rest.trim_start().len();
                if rest[..blanks].contains('\n') { blanks } else { first_len(rest, style) }
            }
            '\n' | ' ' if style == Style::Folded && rest.starts_with(['\n', '\r']) => {
                rest.len() - rest.trim_start().len()
            }
            '\n' => {
                fresh_line = true;
                rest.find('\n').map_or(rest.len(), |end| end + 1)
            }
            _ => first_len(rest, style),
        };
    }
    at = at.min(file.len());
    offsets.push(at);
    let mut end = at;
    match quote {
        Some(quote) if file[at..].starts_with(quote) => end += 1,
        Some(_) => {}
        None => end = start.max(file[..at].trim_end().len()),
    }
    if let Some(last) = offsets.last_mut() {
        *last = (*last).min(end.max(start));
    }
    Alignment { offsets, end }
}

/// The place of a further line's own blanks: behind as much indentation as the first line has.
fn start_of_blanks(file: &str, at: usize, start: usize) -> usize {
    let indent = file[..start].len() - file[..start].rfind('\n').map_or(0, |end| end + 1);
    let rest = &file[at.min(file.len())..];
    let blanks = rest.len() - rest.trim_start_matches(' ').len();
    at + blanks.min(indent)
}

/// How many bytes of the file make up the value's next character.
fn first_len(rest: &str, style: Style) -> usize {
    let mut chars = rest.chars();
    let first = chars.next();
    match (first, style) {
        (None, _) => 0,
        (Some('\''), Style::SingleQuoted) => 2.min(rest.len()),
        (Some('\\'), Style::DoubleQuoted) => match chars.next() {
            Some('x') => 4.min(rest.len()),
            Some('u') => 6.min(rest.len()),
            Some('U') => 10.min(rest.len()),
            Some('\n') => rest.len() - rest[1..].trim_start().len(),
            Some(escaped) => 1 + escaped.len_utf8(),
            None => 1,
        },
        (Some(c), _) => c.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(text: &str) -> Node {
        let (mut documents, error) = parse(text);
        assert_eq!(error, None);
        assert_eq!(documents.len(), 1);
        documents.remove(0).root
    }

    fn aligned<'a>(file: &'a str, path: &[&str], part: &str) -> &'a str {
        let root = only(file);
        let node = path.iter().fold(&root, |node, key| node.get(key).unwrap());
        let NodeKind::Scalar { text, style } = &node.kind else { panic!("{node:?}") };
        let start = text[..text.find(part).unwrap()].chars().count();
        let alignment = align(file, node.span.start, text, *style);
        let range = alignment.range(start..start + part.chars().count());
        &file[range]
    }

    #[test]
    fn values_keys_and_lists_have_places() {
        let text = "ä: ü\nb:\n  - x\n  - {k: 'it''s'}\n";
        let root = only(text);
        let (key, value) = root.entry("ä").unwrap();
        assert_eq!((&text[key.span.clone()], &text[value.span.clone()]), ("ä", "ü"));
        let list = root.get("b").unwrap();
        assert_eq!(&text[list.item(0).unwrap().span.clone()], "x");
        let map = list.item(1).unwrap();
        assert_eq!(&text[map.span.clone()], "{k: 'it''s'}");
        assert_eq!(&text[map.get("k").unwrap().span.clone()], "'it''s'");
        assert_eq!(map.get("k").unwrap().text(), Some("it's"));
    }

    #[test]
    fn parts_of_scalars_have_places_in_every_style() {
        assert_eq!(aligned("a: x + foo\n", &["a"], "foo"), "foo");
        assert_eq!(aligned("a: 'it''s foo'\n", &["a"], "foo"), "foo");
        assert_eq!(aligned("a: \"\\\"q\\\" \\u00e4 foo\"\n", &["a"], "foo"), "foo");
        assert_eq!(
            aligned("a:\n  b: |\n    one\n      two\n    foo bar\n", &["a", "b"], "foo"),
            "foo"
        );
        assert_eq!(
            aligned("a:\n  b: |\n    one\n\n      two\n    bar\n", &["a", "b"], "two"),
            "two"
        );
        assert_eq!(aligned("a:\n  b: >-\n    one\n    two\n    foo\n", &["a", "b"], "foo"), "foo");
        assert_eq!(aligned("a: one\n   two foo\n", &["a"], "foo"), "foo");
        assert_eq!(aligned("a:\r\n  b: |\r\n    one\r\n    foo\r\n", &["a", "b"], "foo"), "foo");
        assert_eq!(aligned("a: \"one\n   two foo\"\n", &["a"], "foo"), "foo");
    }

    #[test]
    fn several_documents_and_empty_ones() {
        let (documents, error) = parse("# nothing\n---\na: 1\n---\n---\nb: 2\n...\n");
        assert_eq!(error, None);
        assert_eq!(documents.len(), 2);
        assert!(parse("").0.is_empty());
    }

    #[test]
    fn aliases_are_replaced_and_bounded() {
        let root = only("a: &x [1, 2]\nb: *x\n");
        assert_eq!(root.get("b").unwrap().item(1).unwrap().text(), Some("2"));
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let alias = format!("*a{}", level - 1);
            let aliases = [alias.as_str(); 10].join(", ");
            bomb += &format!("a{level}: &a{level} [{aliases}]\n");
        }
        assert_eq!(parse(&bomb).1.unwrap().kind, SpansErrorKind::TooLarge);
    }

    #[test]
    fn depth_is_bounded() {
        assert_eq!(parse(&"- ".repeat(100_000)).1.unwrap().kind, SpansErrorKind::TooDeep);
        let flow = format!("a: {}", "[".repeat(200));
        assert_eq!(parse(&flow).1.unwrap().kind, SpansErrorKind::TooDeep);
    }

    #[test]
    fn a_key_twice_shows_both_places() {
        let error = parse("a: 1\nb: 2\na: 3\n").1.unwrap();
        assert_eq!((error.first, error.span), (Some(0..1), 10..11));
    }
}
