//! The JSON Schema (draft 2020-12) of a hook file, made of what its values say of themselves.

use serde_json::{Value, json};

use crate::hook::file_value::FileValue;
use crate::hook::layer::Layer;
use crate::hook::step_layer::StepLayers;

/// The schema as text.
pub fn schema() -> String {
    let mut schema = Layer::schema();
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    schema["title"] = "hook-runner hook file".into();
    // A file without steps is complete only with flags that name some.
    schema["properties"]["steps"] = StepLayers::schema();
    schema["required"] = json!(["steps"]);
    schema["allOf"] = json!([has_place_for_log(), annotates_split_streams()]);
    format!("{schema:#}")
}

/// Without `log` it stands in the destination of the first copy.
fn has_place_for_log() -> Value {
    json!({"anyOf": [
        {"required": ["log"], "properties": {"log": {"not": {"type": "null"}}}},
        {"properties": {"steps": {"contains": {"required": ["copy"]}}}},
    ]})
}

/// One pipe for both streams does not tell them apart.
fn annotates_split_streams() -> Value {
    let yes = json!({"enum": [true, "true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"]});
    json!({
        "if": {"required": ["annotate"], "properties": {"annotate": yes}},
        "then": {"required": ["split-streams"], "properties": {"split-streams": yes}},
    })
}
