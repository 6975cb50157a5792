//! Where a check stands: a value of a document that knows its place.

use std::path::Path;

use crate::diagnostic::{Place, Texts};
use crate::model::spans::{Alignment, Node, NodeKind, align};

/// A value in a document. Going to a key or item that isn't there stays where it is, so that a
/// finding always has a place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At<'a> {
    pub(crate) file: &'a Path,
    node: &'a Node,
}

impl<'a> At<'a> {
    pub(crate) fn new(file: &'a Path, node: &'a Node) -> Self {
        Self { file, node }
    }

    /// The value of a key.
    pub(crate) fn key(self, key: &str) -> Self {
        Self { node: self.node.get(key).unwrap_or(self.node), ..self }
    }

    /// An item of a list; of a lone value in its stead, that value.
    pub(crate) fn item(self, index: usize) -> Self {
        Self { node: self.node.item(index).unwrap_or(self.node), ..self }
    }

    /// Whether the mapping here has a key.
    pub(crate) fn has(self, key: &str) -> bool {
        self.node.get(key).is_some()
    }

    /// The value's place; of a mapping, that of its first key.
    pub(crate) fn place(self, label: impl Into<String>) -> Place {
        Place { file: self.file.to_owned(), span: self.node.head(), label: label.into() }
    }

    /// A key's own place, where the mapping here has it.
    pub(crate) fn place_of_key(self, key: &str, label: impl Into<String>) -> Place {
        let span = self.node.entry(key).map_or(self.node.head(), |(key, _)| key.span.clone());
        Place { file: self.file.to_owned(), span, label: label.into() }
    }

    /// The place of characters inside a scalar's value; the whole scalar where it isn't one.
    pub(crate) fn place_inside(
        self,
        texts: &Texts,
        chars: Option<std::ops::Range<usize>>,
        label: impl Into<String>,
    ) -> Place {
        let aligned = chars.and_then(|chars| {
            let alignment = self.alignment(texts)?;
            Some(alignment.range(chars))
        });
        let span = aligned.filter(|span| !span.is_empty()).unwrap_or_else(|| self.node.head());
        Place { file: self.file.to_owned(), span, label: label.into() }
    }

    fn alignment(self, texts: &Texts) -> Option<Alignment> {
        match (&self.node.kind, texts.get(self.file)) {
            (NodeKind::Scalar { text, style }, Some(file)) => {
                Some(align(file, self.node.span.start, text, *style))
            }
            _ => None,
        }
    }
}
