use std::borrow::Cow;

use super::{
    columns::{columns, shortened},
    span::Span,
};

/// The maximum number of columns of a label, without its indentation.
const MAX_COLUMNS: usize = 40;

/// The deepest indentation. Deeper calls are drawn as if they were at this depth, because a chain of thousands of calls
/// is otherwise a picture of spaces.
const MAX_DEPTH: usize = 24;

/// How the operation is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Full,
    /// Without `codex.`, which the operations of the crate begin with.
    Brief,
}

/// The operation, the name and, for a retry, the number of the attempt.
#[derive(Clone, Debug)]
pub(super) struct Label {
    depth: usize,
    operation: Cow<'static, str>,
    /// The name, or nothing, and the characters before it.
    name: String,
    /// Empty for the first attempt.
    attempt: String,
}

// === impl Label ===

impl Label {
    pub(super) fn new(span: &Span, depth: usize) -> Self {
        let name = span.name.as_ref();
        Self {
            depth: depth.min(MAX_DEPTH),
            operation: span.operation.clone(),
            name: name.map(|name| format!(" {name}")).unwrap_or_default(),
            attempt: match span.attempt {
                0 | 1 => String::new(),
                attempt => format!(" #{attempt}"),
            },
        }
    }

    /// Returns the number of columns of the indentation.
    pub(super) fn indent(&self) -> usize {
        2 * self.depth
    }

    /// Returns the whole label.
    pub(super) fn full(&self) -> String {
        format!("{}{}{}", self.operation, self.name, self.attempt)
    }

    /// Returns the label with its indentation, in at most `width` columns. The name is shortened, and not the attempt.
    pub(super) fn indented(&self, width: usize, style: Style) -> String {
        let indent = self.indent().min(width / 2);
        let label = self.fitting(MAX_COLUMNS.min(width - indent), style);
        " ".repeat(indent) + &label
    }

    /// Returns the number of columns of the label with its indentation.
    pub(super) fn columns(&self, style: Style) -> usize {
        self.indent() + columns(&self.fitting(MAX_COLUMNS, style))
    }

    fn fitting(&self, width: usize, style: Style) -> String {
        let operation = match style {
            Style::Full => &self.operation,
            Style::Brief => {
                let operation = &self.operation[..];
                operation.strip_prefix("codex.").unwrap_or(operation)
            }
        };
        let left = width.saturating_sub(columns(&self.attempt));
        shortened(&format!("{operation}{}", self.name), left) + &self.attempt
    }
}
