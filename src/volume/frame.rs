//! The frames of the preserved log: a header before and a footer after each attempt's bytes.
//!
//! The command's bytes stand between them as they are; a frame is told from them by the index, which holds
//! where each attempt begins, not by its looks. The lines are for people and for `grep`.

use std::fmt::Write as _;

/// How each header begins.
pub const OPEN: &str = "=== hook-runner: attempt ";
/// The line that ends a footer.
pub const CLOSE: &str = "=== end of attempt ===\n";

/// A header: a title, then rows of a name and a text, then a rule.
pub fn header(title: &str, rows: &[(&str, String)]) -> String {
    let mut text = format!("{OPEN}{title} ===\n");
    table(&mut text, rows);
    text.push_str("--- output ---\n");
    text
}

/// A footer. It begins on a line of its own, also after a command that did not end its last line; that is
/// the caller's to know (`after_partial_line`).
pub fn footer(title: &str, rows: &[(&str, String)], after_partial_line: bool) -> String {
    let mut text = String::from(if after_partial_line { "\n" } else { "" });
    let _ = writeln!(text, "--- {title} ---");
    table(&mut text, rows);
    text.push_str(CLOSE);
    text
}

fn table(text: &mut String, rows: &[(&str, String)]) {
    for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
        // A value of several lines keeps its column, so that a row can be told from the next.
        let value = value.trim_end().replace('\n', "\n           ");
        let _ = writeln!(text, "{name:<10} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_footer_starts_on_its_own_line() {
        assert!(footer("succeeded", &[], true).starts_with("\n--- succeeded ---\n"));
        assert!(footer("succeeded", &[], false).starts_with("--- succeeded ---\n"));
    }

    #[test]
    fn empty_rows_are_left_out_and_long_values_keep_their_column() {
        let rows = [("pod", String::new()), ("steps", "1. a\n2. b".into())];
        let text = header("1 of run x", &rows);
        assert_eq!(
            text,
            "=== hook-runner: attempt 1 of run x ===\nsteps      1. a\n           2. b\n--- output ---\n"
        );
    }
}
