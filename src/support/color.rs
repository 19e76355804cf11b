//! Whether output is coloured: on a terminal, unless `NO_COLOR` is set (<https://no-color.org>) or the terminal is dumb.

use std::io::IsTerminal;

pub fn wanted(stream: &impl IsTerminal) -> bool {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    stream.is_terminal() && set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb")
}
