//! The `env:` of an exec step.

use std::ffi::OsString;

use serde_json::{Value, json};

use crate::hook::file_value::FileValue;
use crate::hook::keys::entries;
use crate::hook::yaml::{Mistake, Node};

/// Names with values, in file order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Variables(pub Vec<(OsString, OsString)>);

impl FileValue for Variables {
    fn read(node: &Node) -> Result<Self, Mistake> {
        let read = |entry: &crate::hook::yaml::Entry| match entry.key.as_str() {
            "" => Err(Mistake { at: entry.at, message: "a variable without a name".into() }),
            name if name.contains(['=', '\0']) => {
                Err(Mistake { at: entry.at, message: format!("'{name}' can name no variable") })
            }
            name => Ok((OsString::from(name), OsString::read(&entry.value)?)),
        };
        entries(node)?.iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    fn schema() -> Value {
        json!({
            "type": "object",
            "propertyNames": {"pattern": "^[^=\\u0000]+$"},
            "additionalProperties": String::schema(),
        })
    }
}
