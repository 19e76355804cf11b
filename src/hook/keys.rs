//! The keys of a part of the hook file. Each is named once: the same code reads the file and makes the JSON Schema.

use serde_json::{Map, Value, json};

use crate::hook::file_value::FileValue;
use crate::hook::yaml::{Content, Entry, Mistake, Node};
use crate::support::nearest::nearest;

pub trait Keyed: Default + clap::Args {
    /// Its name in messages, such as "a copy".
    const NAME: &'static str;
    /// The prefix of its long options: `--wait-timeout` is the key `timeout` of a wait.
    const OPTIONS: &'static str = "";

    /// Visits each key.
    fn keys<K: Keys>(&mut self, keys: &mut K) -> Result<(), Mistake>;
}

/// A visitor of keys: reads them from a file, or describes them for the schema.
pub trait Keys {
    /// A key that is required.
    fn required<T: FileValue>(&mut self, key: &'static str, help: &str, value: &mut T)
    -> Result<(), Mistake>;
    /// A key that may be left out or null.
    fn optional<T: FileValue>(&mut self, key: &'static str, value: &mut Option<T>) -> Result<(), Mistake>;
    /// A key that may be left out or null, and holds a list or keys.
    fn many<T: FileValue>(&mut self, key: &'static str, value: &mut T) -> Result<(), Mistake>;
}

impl<T: Keyed> FileValue for T {
    fn read(node: &Node) -> Result<Self, Mistake> {
        let mut reader = Reader { node, part: T::NAME, entries: entries(node)?, known: Vec::new() };
        let mut value = T::default();
        value.keys(&mut reader)?;
        reader.refuse_unknown()?;
        Ok(value)
    }

    fn schema() -> Value {
        let options = T::augment_args(clap::Command::new("options"));
        let mut writer = Writer { options, prefix: T::OPTIONS, properties: Map::new(), required: Vec::new() };
        // The schema reads no file, so no mistake is possible.
        let _ = T::default().keys(&mut writer);
        json!({
            "type": "object",
            "properties": writer.properties,
            "required": writer.required,
            "additionalProperties": false,
        })
    }
}

/// The entries of a node that must be a map.
pub fn entries(node: &Node) -> Result<&[Entry], Mistake> {
    match &node.content {
        Content::Map(entries) => Ok(entries),
        _ => Err(node.mistake("expected keys with values, as in `key: value`")),
    }
}

struct Reader<'a> {
    node: &'a Node,
    part: &'static str,
    entries: &'a [Entry],
    known: Vec<&'static str>,
}

impl Reader<'_> {
    fn value(&mut self, key: &'static str) -> Option<&Node> {
        self.known.push(key);
        self.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    fn read<T: FileValue>(&mut self, key: &'static str) -> Result<Option<T>, Mistake> {
        match self.value(key).filter(|node| !node.is_null()) {
            None => Ok(None),
            Some(node) => T::read(node).map(Some).map_err(|mistake| {
                // A mistake inside a list or map has a position of its own, which says more than the key.
                let itself = mistake.at == node.at;
                let subject = if itself { format!("{key}: ") } else { String::new() };
                Mistake { message: format!("{subject}{}", mistake.message), ..mistake }
            }),
        }
    }

    fn refuse_unknown(self) -> Result<(), Mistake> {
        let Some(entry) = self.entries.iter().find(|entry| !self.known.contains(&entry.key.as_str())) else {
            return Ok(());
        };
        Err(Mistake { at: entry.at, message: unknown(&entry.key, self.part, &self.known) })
    }
}

/// The message for an unknown key.
pub fn unknown(key: &str, part: &str, known: &[&'static str]) -> String {
    let advice = match nearest(key, known.iter().copied()) {
        Some(meant) => format!("is `{meant}` meant?"),
        None => format!("expected one of {}", known.join(", ")),
    };
    format!("`{key}` is no key of {part}; {advice}")
}

impl Keys for Reader<'_> {
    fn required<T: FileValue>(
        &mut self,
        key: &'static str,
        help: &str,
        value: &mut T,
    ) -> Result<(), Mistake> {
        match self.read(key)? {
            Some(read) => *value = read,
            None => return Err(self.missing(key, help)),
        }
        Ok(())
    }

    fn optional<T: FileValue>(&mut self, key: &'static str, value: &mut Option<T>) -> Result<(), Mistake> {
        *value = self.read(key)?;
        Ok(())
    }

    fn many<T: FileValue>(&mut self, key: &'static str, value: &mut T) -> Result<(), Mistake> {
        if let Some(read) = self.read(key)? {
            *value = read;
        }
        Ok(())
    }
}

impl Reader<'_> {
    /// The message for a missing key. If there is a misspelt one, it is named instead.
    fn missing(&self, key: &'static str, help: &str) -> Mistake {
        let near = |entry: &&Entry| nearest(&entry.key, [key]).is_some();
        match self.entries.iter().filter(|entry| entry.key != key).find(near) {
            Some(entry) => Mistake {
                at: entry.at,
                message: format!("`{}` is no key of {}; is `{key}` meant?", entry.key, self.part),
            },
            None => self.node.mistake(format!("{} needs the key `{key}`: {help}", self.part)),
        }
    }
}

/// Makes the schema of a part. A key's description is its option's help.
struct Writer {
    options: clap::Command,
    prefix: &'static str,
    properties: Map<String, Value>,
    required: Vec<&'static str>,
}

impl Writer {
    fn help(&self, key: &str) -> Option<String> {
        let long = format!("{}{key}", self.prefix);
        let mut options = self.options.get_arguments();
        let option = options.find(|option| option.get_long() == Some(&long));
        option.and_then(|option| option.get_help()).map(ToString::to_string)
    }

    fn put(&mut self, key: &str, mut schema: Value, help: Option<String>, may_be_null: bool) {
        if may_be_null {
            schema = json!({"anyOf": [schema, {"type": "null"}]});
        }
        if let (Value::Object(schema), Some(help)) = (&mut schema, help) {
            schema.insert("description".into(), help.into());
        }
        self.properties.insert(key.into(), schema);
    }
}

impl Keys for Writer {
    fn required<T: FileValue>(&mut self, key: &'static str, help: &str, _: &mut T) -> Result<(), Mistake> {
        self.put(key, T::schema(), Some(help.into()), false);
        self.required.push(key);
        Ok(())
    }

    fn optional<T: FileValue>(&mut self, key: &'static str, _: &mut Option<T>) -> Result<(), Mistake> {
        let help = self.help(key);
        self.put(key, T::schema(), help, true);
        Ok(())
    }

    fn many<T: FileValue>(&mut self, key: &'static str, _: &mut T) -> Result<(), Mistake> {
        let help = self.help(key);
        self.put(key, T::schema(), help, true);
        Ok(())
    }
}
