//! Wrong usage: our own sentence for each kind of clap's errors. Pure.

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// What is wrong with the command line, and what to do.
pub fn sentence(error: &clap::Error) -> String {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.first().cloned().unwrap_or_default(),
        _ => String::new(),
    };
    let argument = text(ContextKind::InvalidArg);
    let name = argument.split([' ', '=']).next().unwrap_or_default().trim_matches(['<', '>', '[', ']', '.']);
    let what = match error.kind() {
        ErrorKind::MissingRequiredArgument => "the release's name is missing".to_owned(),
        ErrorKind::UnknownArgument => format!("there is no option {name}"),
        ErrorKind::InvalidValue => format!("{name} needs a value"),
        ErrorKind::ValueValidation => {
            format!(
                "{name}: '{}' is no whole number such as 90",
                text(ContextKind::InvalidValue).escape_debug()
            )
        }
        _ => "the command line cannot be read".to_owned(),
    };
    format!("{what}; kubectl hook-log --help shows the command line")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::sentence;
    use crate::arguments::Arguments;

    #[test]
    fn wrong_usage_names_the_word_that_is_wrong() {
        for (line, expected) in [
            ("", "the release's name is missing;"),
            ("--nope vote", "there is no option --nope;"),
            ("vote --claim", "--claim needs a value;"),
            ("vote --start-timeout soon", "--start-timeout: 'soon' is no whole number"),
        ] {
            let words = ["x"].into_iter().chain(line.split_whitespace());
            let said = sentence(&Arguments::try_parse_from(words).expect_err(line));
            assert!(said.starts_with(expected), "{line}: {said}");
        }
    }
}
