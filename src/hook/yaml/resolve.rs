//! The kind of a plain scalar in YAML 1.1 (<https://yaml.org/type/>) or YAML 1.2 (core schema, chapter 10.3).

use super::ScalarKind;

pub fn plain(text: &str) -> ScalarKind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => ScalarKind::Null,
        _ if is_boolean(text) => ScalarKind::Boolean,
        _ if is_number(text) => ScalarKind::Number,
        _ if is_date(text) => ScalarKind::Date,
        _ => ScalarKind::Text,
    }
}

/// In lower case, in upper case, or with one capital.
fn is_boolean(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let capital = || lower[..1].to_ascii_uppercase() + &lower[1..];
    matches!(lower.as_str(), "true" | "false" | "yes" | "no" | "on" | "off")
        && (text == lower || text == text.to_ascii_uppercase() || text == capital())
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let all = |text: &str, fits: fn(&u8) -> bool| !text.is_empty() && text.bytes().all(|byte| fits(&byte));
    if let Some(hexadecimal) = digits.strip_prefix("0x") {
        return all(hexadecimal, |byte| byte.is_ascii_hexdigit() || *byte == b'_');
    }
    if let Some(octal) = digits.strip_prefix("0o") {
        return all(octal, |byte| (b'0'..=b'7').contains(byte));
    }
    if let Some(binary) = digits.strip_prefix("0b") {
        return all(binary, |byte| b"01_".contains(byte));
    }
    if matches!(digits, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    if digits.starts_with(|first: char| first.is_ascii_digit()) && digits.contains(':') {
        return is_base_60(digits);
    }
    is_decimal(digits)
}

/// 1:30 and 33:33.5 are numbers in YAML 1.1.
fn is_base_60(digits: &str) -> bool {
    let whole = digits.split('.').next().unwrap_or_default();
    let mut parts = whole.split(':');
    let first = parts.next().unwrap_or_default();
    let leads = !first.starts_with('0') || digits.contains('.');
    leads
        && first.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_')
        && parts.all(|part| part.len() <= 2 && part.parse::<u8>().is_ok_and(|number| number < 60))
}

/// `12`, `1_000`, `1.5`, `.5`, `1.`, `1e3`, `1.5E-3`.
fn is_decimal(digits: &str) -> bool {
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (digits, None),
    };
    let exponent = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    });
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let fits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    let starts = whole.starts_with(|first: char| first.is_ascii_digit())
        || whole.is_empty() && fraction.starts_with(|first: char| first.is_ascii_digit());
    exponent && starts && fits(whole) && fits(fraction)
}

/// 2026-11-28, optionally with a time of day.
fn is_date(text: &str) -> bool {
    let mut parts = text.splitn(3, '-');
    let (year, month, rest) = (parts.next(), parts.next(), parts.next());
    let number = |part: Option<&str>, least: usize, most: usize| {
        part.is_some_and(|part| {
            (least..=most).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
        })
    };
    let day = rest.map(|rest| rest.split(['T', 't', ' ', '\t']).next().unwrap_or_default());
    let clock = rest.is_none_or(|rest| !rest.contains(['T', 't', ' ', '\t']) || rest.contains(':'));
    number(year, 4, 4) && number(month, 1, 2) && number(day, 1, 2) && clock
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Taken from the regular expressions of <https://yaml.org/type/int.html>, float, bool, timestamp, and of YAML 1.2.
    #[test]
    fn a_plain_scalar_is_what_the_two_versions_of_yaml_say() {
        for (kind, texts) in [
            (ScalarKind::Null, &["", "~", "null", "NULL"][..]),
            (ScalarKind::Boolean, &["true", "True", "TRUE", "no", "Off", "ON"]),
            (
                ScalarKind::Number,
                &[
                    "0",
                    "12",
                    "-3",
                    "+5",
                    "0644",
                    "1_000",
                    "0x1F",
                    "0o17",
                    "0b101",
                    "1.5",
                    ".5",
                    "1.",
                    "1e3",
                    "-1.5E-3",
                    ".inf",
                    "-.INF",
                    ".nan",
                    "33:33",
                    "1:30:00",
                    "190:20:30.15",
                ],
            ),
            (ScalarKind::Date, &["2026-11-28", "2026-11-28T10:00:00Z", "2001-1-1 10:00:00"]),
            (
                ScalarKind::Text,
                &[
                    "a",
                    "5m",
                    "tRUE",
                    "y",
                    "n",
                    "nULL",
                    "1000:1000",
                    "0:0",
                    "0/4",
                    "1.2.3",
                    "e3",
                    "-",
                    "+",
                    ".",
                    "0x",
                    "200-399",
                    "2xx",
                    "_1",
                    "1:99",
                    "2026-11-28-a",
                    "é",
                ],
            ),
        ] {
            for text in texts {
                assert_eq!(plain(text), kind, "{text:?}");
            }
        }
    }
}
