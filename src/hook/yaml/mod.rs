//! Parses YAML into a tree whose nodes know their line and column. Knows nothing of hooks.

mod resolve;
mod syntax;
mod tree;

use std::fmt;

pub use self::tree::parse;

/// A position in the text, as editors count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// 1-based line.
    pub line: usize,
    /// 1-based column.
    pub column: usize,
}

impl Position {
    /// The beginning of a text.
    pub const START: Self = Self { line: 1, column: 1 };
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// A mistake at a position of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    pub at: Position,
    /// What is wrong, and what was expected.
    pub message: String,
}

/// A value and its position.
#[derive(Debug, Clone)]
pub struct Node {
    /// The position of its beginning.
    pub at: Position,
    pub content: Content,
}

#[derive(Debug, Clone)]
pub enum Content {
    /// A single text.
    Scalar(Scalar),
    /// Values in order.
    List(Vec<Node>),
    /// Keys with values, each key once.
    Map(Vec<Entry>),
}

/// A key with its value.
#[derive(Debug, Clone)]
pub struct Entry {
    pub key: String,
    /// The position of the key.
    pub at: Position,
    pub value: Node,
}

/// A single text as written.
#[derive(Debug, Clone)]
pub struct Scalar {
    pub text: String,
    /// Its kind in YAML.
    pub kind: ScalarKind,
}

/// The kind of a scalar for YAML readers. YAML 1.1 (Helm, Kubernetes, `PyYAML`) and 1.2 differ: what either of them
/// reads as something other than a text is not a text here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScalarKind {
    /// Empty, `~` or null.
    Null,
    /// true, false, and in YAML 1.1 yes, no, on, off.
    Boolean,
    /// A number: 12, 0644, `1_000`, 0x1F, 1.5, and in YAML 1.1 33:33 (base 60).
    Number,
    /// A date, in YAML 1.1.
    Date,
    /// Anything else, and everything in quotes.
    Text,
}

impl Node {
    pub fn mistake(&self, message: impl Into<String>) -> Mistake {
        Mistake { at: self.at, message: message.into() }
    }

    /// Whether the value is empty, `~` or null.
    pub fn is_null(&self) -> bool {
        matches!(&self.content, Content::Scalar(Scalar { kind: ScalarKind::Null, .. }))
    }
}
