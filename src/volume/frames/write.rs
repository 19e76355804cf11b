//! Writes frames: a title, rows of name and text for people, a row with the record for programs, and a last line.

use std::fmt::Write as _;

use crate::support::own::HEADER_START;
use crate::volume::record::{Ended, Started};

/// The beginning of each footer.
pub(super) const FOOTER: &str = "--- attempt ";
/// The last line of a header.
pub(super) const OUTPUT: &str = "--- output ---";
/// The last line of a footer.
pub(super) const CLOSE: &str = "=== end of attempt ===";
/// The beginning of the row with the record, which is the last but one.
pub(super) const RECORD: &str = "record     ";

/// A header. Its record says where in the file it begins.
pub fn header(title: &str, rows: &[(&str, String)], started: &Started) -> String {
    let mut text = format!("{HEADER_START}{} ===\n", harmless(title).replace('\n', " "));
    table(&mut text, rows);
    // Strings and numbers always have a JSON form.
    let record = serde_json::to_string(started).unwrap_or_default();
    let _ = writeln!(text, "{RECORD}{record}\n{OUTPUT}");
    text
}

/// A footer, to be written at the start of a line. Its record says how many bytes of output and of the footer precede
/// it.
pub fn footer(title: &str, rows: &[(&str, String)], ended: &Ended) -> String {
    let mut text = format!("--- {} ---\n", harmless(title).replace('\n', " "));
    table(&mut text, rows);
    let ended = Ended { above: text.len() as u64, ..ended.clone() };
    let record = serde_json::to_string(&ended).unwrap_or_default();
    let _ = writeln!(text, "{RECORD}{record}\n{CLOSE}");
    text
}

/// The same header for another place in the file.
pub fn moved(header: &str, started: &Started) -> String {
    let record = serde_json::to_string(started).unwrap_or_default();
    let rows = header.rfind(&format!("\n{RECORD}")).map_or("", |end| &header[..=end]);
    format!("{rows}{RECORD}{record}\n{OUTPUT}\n")
}

fn table(text: &mut String, rows: &[(&str, String)]) {
    for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
        // Further lines of a value are indented, so that they are not taken for rows.
        let value = harmless(value.trim_end()).replace('\n', "\n           ");
        let _ = writeln!(text, "{name:<10} {value}");
    }
}

/// Escapes control characters except newlines: a release's name must not control the reader's terminal.
fn harmless(text: &str) -> String {
    let escape = |c: char| c.is_control() && c != '\n';
    text.chars().flat_map(|c| if escape(c) { c.escape_default().collect() } else { vec![c] }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_rows_are_left_out_and_long_values_keep_their_column() {
        let rows = [("pod", String::new()), ("steps", "1. a\n2. b".into())];
        let text = header("1 of run x", &rows, &Started::default());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "=== hook-runner: attempt 1 of run x ===");
        assert_eq!(lines[1..3], ["steps      1. a", "           2. b"]);
        assert!(lines[3].starts_with("record     {\"format\":"));
        assert_eq!(lines[4..], ["--- output ---"]);
    }
}
