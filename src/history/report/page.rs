//! The page around the attempts: policy, style sheets, heading, search, script.

use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::escape::escaped;
use crate::support::os::sha256;
use crate::support::times;

const STYLE: &str = include_str!("report.css");
const SCRIPT: &str = include_str!("report.js");

/// The parts of the page.
pub(super) struct Page<'a> {
    /// Where it was read.
    pub(super) place: &'a str,
    /// One line with counts.
    pub(super) totals: &'a str,
    /// Number of older attempts that are left out.
    pub(super) left_out: usize,
    /// Rules for colours that logs name.
    pub(super) colors: &'a str,
    pub(super) timeline: &'a str,
    pub(super) attempts: &'a [String],
}

impl Page<'_> {
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        // Nothing is loaded, and only our script runs: a script from a log would have another hash.
        let policy = format!(
            "default-src 'none'; script-src '{}'; style-src '{}' '{}'; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'",
            hash(SCRIPT),
            hash(STYLE),
            hash(self.colors),
        );
        let place = escaped(self.place);
        write!(
            out,
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"referrer\" content=\"no-referrer\">\n\
             <title>{place} - hook-runner</title>\n<style>{STYLE}</style>\n<style>{}</style>\n</head>\n<body>\n",
            self.colors
        )?;
        write!(
            out,
            "<header><h1>{place}</h1><p>{}</p></header>\n{}\n\
             <div id=\"tools\" role=\"search\" hidden><input id=\"search\" type=\"search\" placeholder=\"Search\" aria-label=\"Search in all attempts\" autocomplete=\"off\" spellcheck=\"false\">\
             <label><input id=\"failed\" type=\"checkbox\"> failed only</label><output id=\"found\" for=\"search failed\"></output></div>\n<main>\n",
            escaped(self.totals),
            self.timeline,
        )?;
        for attempt in self.attempts {
            out.write_all(attempt.as_bytes())?;
        }
        let left_out = match self.left_out {
            0 => String::new(),
            number => format!(" {number} older attempts are left out; `hook-runner history` lists them."),
        };
        let (version, now) = (env!("CARGO_PKG_VERSION"), times::now());
        write!(
            out,
            "</main>\n<footer>Made by hook-runner {version} on {}.{left_out}</footer>\n<script>{SCRIPT}</script>\n</body>\n</html>\n",
            now.split('.').next().unwrap_or_default().replace('T', " ") + "Z",
        )
    }
}

/// The hash by which a content security policy allows a script or a style sheet.
fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(sha256(text.as_bytes())))
}
