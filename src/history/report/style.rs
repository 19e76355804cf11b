//! The style that a terminal would give to text (ECMA-48, SGR), as classes of the page's style sheet.

use std::collections::BTreeSet;

/// The most rules for colours: a hostile log must not fill the page with them.
const MOST_COLORS: usize = 4096;

/// A colour of text or background.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Color {
    /// One of the sixteen colours of a terminal's theme; here of the page's.
    Theme(u8),
    /// Red, green, blue.
    Exact(u32),
}

/// The style at one place of the text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Style {
    text: Option<Color>,
    background: Option<Color>,
    bold: bool,
    dim: bool,
    italic: bool,
    underlined: bool,
    struck: bool,
    inverse: bool,
}

impl Style {
    /// Applies the parameters of one sequence, such as `1;31`.
    pub(super) fn apply(&mut self, parameters: &str) {
        let mut groups = parameters.split(';');
        while let Some(group) = groups.next() {
            if let Some((code, rest)) = group.split_once(':') {
                self.with_colons(code, rest);
                continue;
            }
            match number(group) {
                code @ (38 | 48) => {
                    let color = extended(&mut groups);
                    self.set(code == 38, color);
                }
                code => self.plain(code),
            }
        }
    }

    fn plain(&mut self, code: u16) {
        match code {
            0 => *self = Self::default(),
            1 => self.bold = true,
            2 => self.dim = true,
            3 => self.italic = true,
            4 | 21 => self.underlined = true,
            7 => self.inverse = true,
            9 => self.struck = true,
            22 => (self.bold, self.dim) = (false, false),
            23 => self.italic = false,
            24 => self.underlined = false,
            27 => self.inverse = false,
            29 => self.struck = false,
            30..=37 => self.text = theme(code - 30),
            39 => self.text = None,
            40..=47 => self.background = theme(code - 40),
            49 => self.background = None,
            90..=97 => self.text = theme(code - 82),
            100..=107 => self.background = theme(code - 92),
            _ => {}
        }
    }

    /// `38:2::255:0:0` (ISO 8613-6) and `4:3`.
    fn with_colons(&mut self, code: &str, rest: &str) {
        let parts: Vec<&str> = rest.split(':').collect();
        match (number(code), parts.as_slice()) {
            (code @ (38 | 48), ["2", _, red, green, blue, ..] | ["2", red, green, blue]) => {
                self.set(code == 38, Some(exact(red, green, blue)));
            }
            (code @ (38 | 48), ["5", index, ..]) => self.set(code == 38, indexed(number(index))),
            (4, ["0"]) => self.underlined = false,
            (4, _) => self.underlined = true,
            _ => {}
        }
    }

    fn set(&mut self, text: bool, color: Option<Color>) {
        let Some(color) = color else { return };
        if text { self.text = Some(color) } else { self.background = Some(color) }
    }

    /// The classes of the style sheet; `colors` gets those that need a rule of their own.
    pub(super) fn classes(self, colors: &mut BTreeSet<u32>) -> String {
        let mut classes = Vec::new();
        let (mut text, mut background) = (self.text, self.background);
        if self.inverse {
            std::mem::swap(&mut text, &mut background);
            if text.is_none() {
                classes.push("tp".to_owned());
            }
            if background.is_none() {
                classes.push("bi".to_owned());
            }
        }
        classes.extend(class('t', text, colors));
        classes.extend(class('b', background, colors));
        let switches = [
            (self.bold, "bold"),
            (self.dim, "dim"),
            (self.italic, "em"),
            (self.underlined, "ul"),
            (self.struck, "st"),
        ];
        classes.extend(switches.iter().filter(|(on, _)| *on).map(|(_, class)| (*class).to_owned()));
        classes.join(" ")
    }
}

/// The rules for colours that the log names exactly.
pub(super) fn rules(colors: &BTreeSet<u32>) -> String {
    let rule = |color: &u32| {
        format!(".t{color:06x}{{color:#{color:06x}}}.b{color:06x}{{background:#{color:06x}}}\n")
    };
    colors.iter().map(rule).collect()
}

fn class(of: char, color: Option<Color>, colors: &mut BTreeSet<u32>) -> Option<String> {
    match color? {
        Color::Theme(number) => Some(format!("{of}{number}")),
        Color::Exact(color) if colors.contains(&color) || colors.len() < MOST_COLORS => {
            colors.insert(color);
            Some(format!("{of}{color:06x}"))
        }
        Color::Exact(_) => None,
    }
}

/// What follows 38 or 48: `5;N` or `2;R;G;B`.
fn extended<'a>(groups: &mut impl Iterator<Item = &'a str>) -> Option<Color> {
    match number(groups.next()?) {
        5 => indexed(number(groups.next()?)),
        2 => {
            let (red, green, blue) = (groups.next()?, groups.next()?, groups.next()?);
            Some(exact(red, green, blue))
        }
        _ => None,
    }
}

/// The palette of 256 colours, as xterm has it.
fn indexed(index: u16) -> Option<Color> {
    let index = u32::from(u8::try_from(index).ok()?);
    let level = |step: u32| if step == 0 { 0 } else { 55 + 40 * step };
    Some(match index {
        0..16 => return theme(u16::try_from(index).ok()?),
        16..232 => {
            let cube = index - 16;
            Color::Exact(level(cube / 36) << 16 | level(cube / 6 % 6) << 8 | level(cube % 6))
        }
        _ => Color::Exact((8 + 10 * (index - 232)) * 0x01_0101),
    })
}

fn exact(red: &str, green: &str, blue: &str) -> Color {
    let part = |text: &str| u32::from(number(text).min(255));
    Color::Exact(part(red) << 16 | part(green) << 8 | part(blue))
}

fn theme(number: u16) -> Option<Color> {
    u8::try_from(number).ok().map(Color::Theme)
}

/// A parameter that is left out is 0.
fn number(text: &str) -> u16 {
    if text.is_empty() { 0 } else { text.parse().unwrap_or(u16::MAX) }
}
