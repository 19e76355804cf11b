//! Our messages for text that is not YAML.

use granit_parser::ErrorKind;

/// A tab is in the way.
pub fn is_tab(kind: &ErrorKind) -> bool {
    use ErrorKind as Kind;
    matches!(
        kind,
        Kind::TabNotAllowed
            | Kind::TabInBlockIndentation
            | Kind::TabInIndentation
            | Kind::TabAtBlockScalarStart
            | Kind::TabInPlainScalar
    )
}

/// The message for an error of the parser.
pub fn sentence(kind: &ErrorKind) -> &'static str {
    use ErrorKind as Kind;
    match kind {
        kind if is_tab(kind) => "a tab stands where YAML takes only spaces; indent with spaces",
        Kind::UnclosedQuotedScalar | Kind::DocumentIndicatorInQuotedScalar => {
            "a quote is opened here and not closed; close it, with ' or \" as it was opened"
        }
        Kind::InvalidTrailingSingleQuotedScalar | Kind::InvalidTrailingDoubleQuotedScalar => {
            "something follows the closing quote; put the whole value into the quotes"
        }
        Kind::UnknownQuotedScalarEscape
        | Kind::InvalidQuotedScalarHexEscape
        | Kind::InvalidUnicodeEscape
        | Kind::InvalidLowSurrogateHexEscape
        | Kind::InvalidLowSurrogate
        | Kind::MissingLowSurrogate
        | Kind::UnpairedLowSurrogate => {
            "a backslash in \" quotes begins an escape that YAML does not know; write \\\\ for a backslash, or use ' quotes"
        }
        Kind::UnclosedFlowCollection { .. }
        | Kind::UnexpectedEofFlowSequence
        | Kind::UnexpectedEofFlowMapping
        | Kind::UnexpectedEofImplicitFlowMapping
        | Kind::ExpectedFlowMappingSeparator
        | Kind::ExpectedFlowSequenceSeparator
        | Kind::MisplacedFlowCollectionEnd
        | Kind::MismatchedFlowCollectionEnd { .. } => {
            "[ ] or { } are not in pairs, or a comma is missing between two values"
        }
        Kind::UnknownAnchor => "an alias (*NAME) names an anchor that no &NAME before it defines",
        Kind::RecursionLimitExceeded => "lists and keys are nested too deeply for a hook",
        Kind::UndeclaredTagHandle => "a tag (!NAME) means nothing here; leave it out",
        Kind::InvalidIndentation
        | Kind::InvalidBlockScalarIndent
        | Kind::InvalidQuotedScalarIndent
        | Kind::InvalidFlowScalarIndent
        | Kind::ExpectedBlockMappingKey
        | Kind::ExpectedBlockSequenceEntry
        | Kind::BlockSequenceEntryNotAllowed => {
            "the indentation fits nothing above it; indent the keys, or the `- ` of a list, by the same number of spaces"
        }
        Kind::SimpleKeyExpected
        | Kind::InvalidSimpleKey
        | Kind::MappingKeyNotAllowed
        | Kind::MappingValueNotAllowed
        | Kind::InvalidMappingValueWhitespace
        | Kind::InvalidColonPlacement => {
            "a key or a colon is out of place; write `key: value` on a line of its own, and a value with `: ` in it in quotes"
        }
        Kind::UnexpectedCharacter { .. } => "a value cannot begin with this character; put it in quotes",
        Kind::BomInsideDocument => "a byte-order mark stands within the text; remove it",
        _ => "this is no YAML; check the indentation, the quotes, and the space behind each colon",
    }
}
