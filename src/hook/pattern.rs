//! Regular expressions (ECMA 262) for the JSON Schema: patterns for a whole text, and for one number below another.

/// Anchors a pattern to the whole text. With `$` alone, Python would accept a trailing newline.
pub fn whole(pattern: &str) -> String {
    format!("^(?:{pattern})$(?!\\n)")
}

/// Two numbers with the same number of digits, joined by `separator`, the first not above the second. `number` must be
/// one group.
pub fn ascending(number: &str, digits: usize, separator: &str) -> String {
    format!("{number}{separator}\\1|{}", below(digits, 2, separator))
}

/// Two numbers without leading zeros, of up to `digits` digits, the first below the second. `group` is the number of
/// the result's first group.
pub fn smaller(digits: usize, group: usize, separator: &str) -> String {
    let mut ways = Vec::new();
    let mut group = group;
    for length in 1..=digits {
        if length < digits {
            let more = format!("[1-9][0-9]{{{length},{}}}", digits - 1);
            ways.push(format!("{}{separator}{more}", exactly(length)));
        }
        ways.push(format!("(?={}{separator}){}", exactly(length), below(length, group, separator)));
        group += length;
    }
    ways.join("|")
}

/// A number with exactly this many digits.
fn exactly(length: usize) -> String {
    if length == 1 { "[0-9]".into() } else { format!("[1-9][0-9]{{{}}}", length - 1) }
}

/// Two numbers of `digits` digits, the first below the second: equal digits, then a smaller digit, then any.
fn below(digits: usize, group: usize, separator: &str) -> String {
    let position = |at: usize| {
        let rest = format!("[0-9]{{{}}}", digits - at - 1);
        let smaller = (0..9).map(|digit| {
            let above = digit + 1;
            format!("{digit}{rest}{separator}\\{}[{above}-9]{rest}", group + at)
        });
        format!("([0-9]{{{at}}})(?:{})", smaller.collect::<Vec<_>>().join("|"))
    };
    let ways: Vec<String> = (0..digits).map(position).collect();
    format!("(?:{})", ways.join("|"))
}
