//! Values that are one text in a hook file.

/// Reads a value by `FromStr` from a YAML scalar, and describes it as a string to JSON Schema.
macro_rules! scalar {
    ($($type:ident: $what:literal, $pattern:literal;)*) => {$(
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                <String as serde::Deserialize>::deserialize(from)?.parse().map_err(serde::de::Error::custom)
            }
        }
        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({"type": ["string", "integer"], "description": $what, "pattern": $pattern})
            }
        }
    )*};
}
pub(super) use scalar;
