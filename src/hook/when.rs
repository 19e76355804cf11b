//! `when:` limits a step of a hook file to some runs: by event, first run, or revision.

use serde_json::{Value, json};

use crate::hook::file_value::{FileValue, number_or_form, scalar, whole_number};
use crate::hook::identity::Identity;
use crate::hook::keys::{Keyed, Keys};
use crate::hook::yaml::{Content, Mistake, Node, ScalarKind};

/// Helm's hook events (Helm, "Chart Hooks"), and `test`, which is last.
const EVENTS: [&str; 9] = [
    "pre-install",
    "post-install",
    "pre-delete",
    "post-delete",
    "pre-upgrade",
    "post-upgrade",
    "pre-rollback",
    "post-rollback",
    "test",
];

/// The runs that a step is limited to: all conditions that are given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub struct When {
    /// One of these events.
    #[arg(skip)]
    pub event: Option<Events>,
    /// Whether no run of this log has succeeded before.
    #[arg(skip)]
    pub first_run: Option<bool>,
    /// These revisions.
    #[arg(skip)]
    pub revision: Option<Revisions>,
}

/// One event or several.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Events(Vec<String>);

/// `3`, `>1`, `>=2`, `<10`, `<=9`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revisions {
    sign: &'static str,
    number: u64,
}

impl When {
    /// The message if the condition needs a variable or log that is missing.
    pub fn lacks(&self, identity: &Identity, has_log: bool) -> Option<String> {
        let needs = |key: &str, what: &str| Some(format!("`when: {{{key}: …}}` of a step needs {what}"));
        if self.event.is_some() && identity.event.is_none() {
            return needs("event", "HOOK_RUNNER_HOOK_EVENT, which the charts set");
        }
        if self.revision.is_some()
            && identity.revision.as_ref().is_none_or(|text| text.parse::<u64>().is_err())
        {
            return needs("revision", "HOOK_RUNNER_REVISION, a number, which the charts set");
        }
        if self.first_run.is_some() && !has_log {
            return needs("first-run", "a log, which knows the runs before this one");
        }
        None
    }

    /// Why the step is left out of this run. `first_run` is `None` until the log is open.
    pub fn unmet(&self, identity: &Identity, first_run: Option<bool>) -> Option<String> {
        if let (Some(events), Some(event)) = (&self.event, &identity.event)
            && !events.holds(event, identity.revision.as_deref())
        {
            return Some(format!("it is for {}, and this is {event}", events.0.join(", ")));
        }
        let revision = identity.revision.as_ref().and_then(|text| text.parse().ok());
        if let (Some(revisions), Some(revision)) = (&self.revision, revision)
            && !revisions.holds(revision)
        {
            return Some(format!("it is for revision {}, and this is {revision}", revisions.text()));
        }
        match (self.first_run, first_run) {
            (Some(true), Some(false)) => Some("it is for the first run, and one has succeeded before".into()),
            (Some(false), Some(true)) => {
                Some("it is not for the first run, and none has succeeded before".into())
            }
            _ => None,
        }
    }
}

impl std::fmt::Display for When {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut parts = Vec::new();
        parts.extend(self.event.as_ref().map(|events| format!("event {}", events.0.join(", "))));
        parts.extend(
            self.first_run.map(|first| if first { "first run" } else { "not the first run" }.to_owned()),
        );
        parts.extend(self.revision.as_ref().map(|revisions| format!("revision {}", revisions.text())));
        write!(f, "when {}", parts.join(" and "))
    }
}

impl Events {
    /// A hook for several events has all of them in its variable. The revision decides: `-install` events belong to
    /// revision 1, all others to later ones.
    fn holds(&self, event: &str, revision: Option<&str>) -> bool {
        let all: Vec<&str> = event.split(',').map(str::trim).collect();
        let fits = |event: &&&str| event.ends_with("-install") == (revision == Some("1"));
        let possible: Vec<&str> = match all.len() {
            1 => all,
            _ => all.iter().filter(fits).copied().collect(),
        };
        possible.iter().any(|event| self.0.iter().any(|wanted| wanted == event))
    }
}

impl Revisions {
    fn holds(&self, revision: u64) -> bool {
        match self.sign {
            "<" => revision < self.number,
            "<=" => revision <= self.number,
            ">" => revision > self.number,
            ">=" => revision >= self.number,
            _ => revision == self.number,
        }
    }

    fn text(&self) -> String {
        format!("{}{}", self.sign, self.number)
    }
}

impl Keyed for When {
    const NAME: &'static str = "a step's `when`";

    fn keys<K: Keys>(&mut self, keys: &mut K) -> Result<(), Mistake> {
        keys.optional("event", &mut self.event)?;
        keys.optional("first-run", &mut self.first_run)?;
        keys.optional("revision", &mut self.revision)
    }
}

impl FileValue for Events {
    fn read(node: &Node) -> Result<Self, Mistake> {
        let one = |node: &Node| {
            let text = &scalar(node, "a hook event")?.text;
            if EVENTS.contains(&text.as_str()) {
                return Ok(text.clone());
            }
            Err(node.mistake(format!("'{text}' is no hook event; expected one of {}", EVENTS.join(", "))))
        };
        match &node.content {
            Content::List(items) if items.is_empty() => {
                Err(node.mistake("no event stands here; expected one of Helm's"))
            }
            Content::List(items) => items.iter().map(one).collect::<Result<_, _>>().map(Self),
            _ => one(node).map(|event| Self(vec![event])),
        }
    }

    fn schema() -> Value {
        let one = json!({"enum": EVENTS});
        json!({"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]})
    }
}

impl FileValue for Revisions {
    fn read(node: &Node) -> Result<Self, Mistake> {
        let expected = "a revision: 3, or >1, >=2, <10, <=9";
        let written = scalar(node, expected)?;
        if written.kind == ScalarKind::Number {
            return Ok(Self { sign: "", number: whole_number(node, expected)? });
        }
        let text = written.text.as_str();
        let sign = [">=", "<=", ">", "<", ""].into_iter().find(|sign| text.starts_with(sign)).unwrap_or("");
        let digits = &text[sign.len()..];
        let plain = (1..=9).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        let number = if plain { digits.parse().ok() } else { None };
        let wrong = || node.mistake(format!("'{text}' is not {expected}"));
        number.map(|number| Self { sign, number }).ok_or_else(wrong)
    }

    fn schema() -> Value {
        number_or_form(0, u64::MAX, "(?:>=|<=|>|<)?[0-9]{1,9}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_for(when: &When, event: &str, revision: &str, first: bool) -> bool {
        let identity =
            Identity { event: Some(event.into()), revision: Some(revision.into()), ..Identity::default() };
        when.unmet(&identity, Some(first)).is_none()
    }

    #[test]
    fn a_hook_for_several_events_is_told_by_its_revision() {
        let when = When { event: Some(Events(vec!["post-install".into()])), ..When::default() };
        for (event, revision, expected) in [
            ("post-install", "1", true),
            ("post-upgrade", "2", false),
            ("post-install,post-upgrade", "1", true),
            ("post-install, post-upgrade", "2", false),
        ] {
            assert_eq!(is_for(&when, event, revision, true), expected, "{event} {revision}");
        }
    }

    #[test]
    fn all_that_is_said_must_hold() {
        let revision = Some(Revisions { sign: ">=", number: 2 });
        let when = When { first_run: Some(false), revision, ..When::default() };
        for (revision, first, expected) in
            [("1", false, false), ("2", false, true), ("2", true, false), ("10", false, true)]
        {
            assert_eq!(is_for(&when, "post-upgrade", revision, first), expected, "{revision} {first}");
        }
    }
}
