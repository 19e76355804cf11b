//! `check`: a hook file, validated.

use std::path::Path;

use super::say::print;
use crate::attempt::outcome::Failure;
use crate::exit::Kind;
use crate::hook::{file, layer::Layer, spec::Hook};

pub(super) fn check(path: &Path) -> Result<(), Failure> {
    let layer = file::read(path).map_err(|error| Failure::new(Kind::Config, error.to_string()))?;
    let hook = Hook::from_layers(Layer::default(), layer)
        .map_err(|error| Failure::new(Kind::Config, format!("{}: {error}", path.display())))?;
    let steps: Vec<String> =
        hook.steps.iter().enumerate().map(|(at, step)| format!("{}. {step}\n", at + 1)).collect();
    let count = if steps.len() == 1 { "1 step".to_owned() } else { format!("{} steps", steps.len()) };
    print(format!("{}: a hook with {count}\n{}", path.display(), steps.concat()).as_bytes())
}
