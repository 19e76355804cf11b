//! One step of a hook file, of one of the three kinds.

use serde_json::{Value, json};

use crate::hook::copy_step::CopyStep;
use crate::hook::exec_step::ExecStep;
use crate::hook::file_value::FileValue;
use crate::hook::keys::{entries, unknown};
use crate::hook::wait_step::WaitStep;
use crate::hook::yaml::{Mistake, Node};

/// One step, as a hook file or the command line describes it.
#[derive(Debug, Clone)]
pub enum StepLayer {
    /// Copy a directory of the image onto the volume.
    Copy(CopyStep),
    /// Wait until a condition holds.
    Wait(WaitStep),
    /// Run a command.
    Exec(ExecStep),
}

/// The steps of a hook file, at least one.
#[derive(Debug, Clone, Default)]
pub struct StepLayers(pub Vec<StepLayer>);

impl FileValue for StepLayers {
    fn read(node: &Node) -> Result<Self, Mistake> {
        match Vec::read(node)? {
            steps if steps.is_empty() => {
                Err(node.mistake("an empty list of steps; give at least one, or leave the key out"))
            }
            steps => Ok(Self(steps)),
        }
    }

    fn schema() -> Value {
        let mut schema = Vec::<StepLayer>::schema();
        schema["minItems"] = 1.into();
        schema
    }
}

const KINDS: [&str; 3] = ["copy", "wait", "exec"];

impl FileValue for StepLayer {
    fn read(node: &Node) -> Result<Self, Mistake> {
        let [entry, more @ ..] = entries(node)? else {
            return Err(node.mistake(format!("an empty step; expected one of {}", KINDS.join(", "))));
        };
        let step = match entry.key.as_str() {
            "copy" => CopyStep::read(&entry.value).map(Self::Copy),
            "wait" => WaitStep::read(&entry.value).map(Self::Wait),
            "exec" => ExecStep::read(&entry.value).map(Self::Exec),
            other => Err(Mistake { at: entry.at, message: unknown(other, "a step", &KINDS) }),
        }?;
        match more {
            [] => Ok(step),
            [next, ..] if KINDS.contains(&next.key.as_str()) => Err(Mistake {
                at: next.at,
                message: format!(
                    "a step is one of {}; begin another with `- {}:`",
                    KINDS.join(", "),
                    next.key
                ),
            }),
            [next, ..] => {
                let message =
                    format!("`{}` stands beside `{}`; is it to stand below it?", next.key, entry.key);
                Err(Mistake { at: next.at, message })
            }
        }
    }

    fn schema() -> Value {
        let one = |kind: &str, schema: Value| {
            json!({
                "type": "object",
                "properties": {kind: schema},
                "required": [kind],
                "additionalProperties": false,
            })
        };
        json!({"oneOf": [
            one("copy", CopyStep::schema()),
            one("wait", WaitStep::schema()),
            one("exec", ExecStep::schema()),
        ]})
    }
}
