//! YAML text as a tree whose nodes know their line and column. Knows nothing of hooks.

mod resolve;
mod syntax;
mod tree;

use std::fmt;

pub use self::tree::parse;

/// Where something stands in the text, as editors count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// 1-based line.
    pub line: usize,
    /// 1-based column.
    pub column: usize,
}

impl Position {
    /// Where a text begins.
    pub const START: Self = Self { line: 1, column: 1 };
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// What is wrong at a place of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The place.
    pub at: Position,
    /// What is wrong, and what was expected.
    pub message: String,
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its beginning.
    pub at: Position,
    /// The value.
    pub content: Content,
}

/// What a node holds.
#[derive(Debug, Clone)]
pub enum Content {
    /// One text.
    Scalar(Scalar),
    /// Values in order.
    List(Vec<Node>),
    /// Keys with values, each key once.
    Map(Vec<Entry>),
}

/// A key with its value.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub at: Position,
    /// The value.
    pub value: Node,
}

/// One text, as it is written.
#[derive(Debug, Clone)]
pub struct Scalar {
    /// The characters.
    pub text: String,
    /// What YAML takes it for.
    pub kind: ScalarKind,
}

/// What a scalar is to YAML readers. 1.1 (Helm, Kubernetes, `PyYAML`) and 1.2 differ; what is more than a text to
/// one of them is here not a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScalarKind {
    /// Nothing, `~` or null.
    Null,
    /// true, false, and in YAML 1.1 yes, no, on, off.
    Boolean,
    /// A number: 12, 0644, `1_000`, 0x1F, 1.5, and in YAML 1.1 33:33 (to base 60).
    Number,
    /// A date, in YAML 1.1.
    Date,
    /// All else, and everything in quotes.
    Text,
}

impl Node {
    /// A mistake at this node.
    pub fn mistake(&self, message: impl Into<String>) -> Mistake {
        Mistake { at: self.at, message: message.into() }
    }

    /// Whether there is nothing: no value, `~` or null.
    pub fn is_null(&self) -> bool {
        matches!(&self.content, Content::Scalar(Scalar { kind: ScalarKind::Null, .. }))
    }
}
