//! Writes a page in man(7). Knows no command.

use std::fmt::Write as _;

/// The longest line of a source that mandoc(1) accepts without a warning.
const WIDTH: usize = 78;

/// A page as it grows.
#[derive(Debug, Default)]
pub struct Page(String);

impl Page {
    /// A page of section 1.
    pub fn new(name: &str, date: &str, source: &str) -> Self {
        Self(format!(".TH {} 1 {date} \"{source}\"\n", escaped(&name.to_uppercase())))
    }

    /// The whole text.
    pub fn into_text(self) -> String {
        self.0
    }

    /// Begins a section.
    pub fn section(&mut self, title: &str) {
        let _ = writeln!(self.0, ".SH {}", escaped(title));
    }

    /// Begins a part of a section.
    pub fn part(&mut self, title: &str) {
        let _ = writeln!(self.0, ".SS {}", escaped(title));
    }

    /// Begins a paragraph.
    pub fn paragraph(&mut self) {
        self.0.push_str(".PP\n");
    }

    /// Text that the formatter breaks into lines.
    pub fn text(&mut self, text: &str) {
        let mut line = String::new();
        for word in text.split_whitespace().map(escaped) {
            if !line.is_empty() && line.len() + 1 + word.len() > WIDTH {
                self.line(&line);
                line.clear();
            }
            line += if line.is_empty() { "" } else { " " };
            line += &word;
        }
        self.line(&line);
    }

    /// A term in bold, a placeholder in italics behind it, and what they mean.
    pub fn term(&mut self, name: &str, placeholder: &str, meaning: &str) {
        let _ = write!(self.0, ".TP\n\\fB{}\\fR", escaped(name));
        if !placeholder.is_empty() {
            let _ = write!(
                self.0,
                "{}\\fI{}\\fR",
                if name.ends_with('=') { "" } else { " " },
                escaped(placeholder)
            );
        }
        self.0.push('\n');
        self.text(meaning);
    }

    /// A command line that stays as it is; a long one is broken before an option, as a shell takes it.
    pub fn code(&mut self, command: &str) {
        self.0.push_str(".PP\n.nf\n.RS\n");
        let mut line = String::new();
        for (at, part) in command.split(" -").enumerate() {
            let part = if at == 0 { part.to_owned() } else { format!(" -{part}") };
            if line.len() + part.len() > 60 && !line.is_empty() {
                self.line(&escaped(&format!("{line} \\")));
                line = "   ".into();
            }
            line += &part;
        }
        self.line(&escaped(&line));
        self.0.push_str(".RE\n.fi\n");
    }

    /// A table with a line of titles.
    pub fn table(&mut self, titles: [&str; 3], rows: &[(&str, &str, &str)]) {
        self.0.push_str(".TS\ntab(|);\nlb lb lb\nl lx l.\n");
        let _ = writeln!(self.0, "{}", titles.join("|"));
        for (first, second, third) in rows {
            let _ = writeln!(self.0, "{}|T{{", escaped(first));
            self.text(second);
            let _ = writeln!(self.0, "T}}|{}", escaped(third));
        }
        self.0.push_str(".TE\n");
    }

    /// A line that is already escaped. A dot or quote at its beginning would be a request, so it is guarded.
    fn line(&mut self, line: &str) {
        let guard = if line.starts_with(['.', '\'']) { "\\&" } else { "" };
        let _ = writeln!(self.0, "{guard}{line}");
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-").replace('…', "...").replace('’', "'")
}
