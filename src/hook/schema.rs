//! The JSON Schema (draft 2020-12) of a hook file, assembled from its values' own schemas.

use serde_json::{Value, json};

use crate::hook::file_value::FileValue;
use crate::hook::layer::Layer;
use crate::hook::step_layer::StepLayers;

pub fn schema() -> String {
    let mut schema = Layer::schema();
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    schema["title"] = "hook-runner hook file".into();
    // `steps` may be missing: flags can name the steps.
    schema["properties"]["steps"] = StepLayers::schema();
    schema["required"] = json!(["steps"]);
    schema["allOf"] = json!([has_place_for_log(), annotates_split_streams()]);
    format!("{schema:#}")
}

/// Without `log`, the log is in the first copy's destination, so there must be a copy.
fn has_place_for_log() -> Value {
    json!({"anyOf": [
        {"required": ["log"], "properties": {"log": {"not": {"type": "null"}}}},
        {"properties": {"steps": {"contains": {"required": ["copy"]}}}},
    ]})
}

/// With one pipe for both streams, lines of stderr cannot be marked.
fn annotates_split_streams() -> Value {
    let yes = json!({"enum": [true, "true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"]});
    json!({
        "if": {"required": ["annotate"], "properties": {"annotate": yes}},
        "then": {"required": ["split-streams"], "properties": {"split-streams": yes}},
    })
}
