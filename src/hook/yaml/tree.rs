//! Builds the tree from the parser's events: resolves aliases and merge keys (`<<`), and refuses a repeated key.

use std::collections::HashMap;

use granit_parser::{Event, Marker, Parser, ScalarStyle, Tag};

use super::{Content, Entry, Mistake, Node, Position, Scalar, ScalarKind, resolve, syntax};

/// Limit for what aliases may expand to: far more than any hook, far less than memory.
const MOST_NODES: usize = 100_000;

/// The single document of `text`; `None` if there is none.
pub fn parse(text: &str) -> Result<Option<Node>, Mistake> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            let at = position(error.marker());
            let at = if syntax::is_tab(error.kind()) { first_tab(text, at) } else { at };
            Mistake { at, message: syntax::sentence(error.kind()).into() }
        })?;
        builder.take(event, position(&span.start))?;
    }
    Ok(builder.root)
}

/// Converts from the parser's columns, which start at 0.
fn position(marker: &Marker) -> Position {
    Position { line: marker.line(), column: marker.col() + 1 }
}

/// The parser tells where the white space with a tab in it ends, or where the text begins that goes on behind a tab.
fn first_tab(text: &str, told: Position) -> Position {
    let lines = text.lines().enumerate().skip(told.line.saturating_sub(1));
    for (number, line) in lines {
        let line: Vec<char> = line.chars().collect();
        let from = if number + 1 == told.line { line.len().min(told.column.saturating_sub(1)) } else { 0 };
        let white = line[..from].iter().rposition(|c| !c.is_whitespace()).map_or(0, |last| last + 1);
        if let Some(tab) = line[white..].iter().position(|c| *c == '\t') {
            return Position { line: number + 1, column: white + tab + 1 };
        }
    }
    told
}

/// A list or map that is not closed yet.
enum Open {
    List(Vec<Node>),
    Map { entries: Vec<(Node, Node)>, key: Option<Node> },
}

#[derive(Default)]
struct Builder {
    root: Option<Node>,
    open: Vec<(Open, Position, usize)>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, at: Position) -> Result<(), Mistake> {
        match event {
            Event::DocumentStart(..) if self.root.is_some() => {
                Err(wrong(at, "a second `---` begins another document; a hook file holds one hook"))
            }
            Event::Scalar(text, style, anchor, tag) => {
                let kind = match style {
                    ScalarStyle::Plain => resolve::plain(&text),
                    _ => ScalarKind::Text,
                };
                let kind = tagged(kind, tag.as_deref(), at)?;
                let content = Content::Scalar(Scalar { text: text.into_owned(), kind });
                self.add(Node { at, content }, anchor)
            }
            Event::Alias(anchor) => {
                let known = self.anchors.get(&anchor).cloned();
                let node = known.ok_or_else(|| wrong(at, "an alias (*NAME) stands within what it names"))?;
                self.count(size(&node), at)?;
                self.add(Node { at, ..node }, 0)
            }
            Event::SequenceStart(_, anchor, tag) => {
                tagged(ScalarKind::Text, tag.as_deref(), at)?;
                self.open.push((Open::List(Vec::new()), at, anchor));
                Ok(())
            }
            Event::MappingStart(_, anchor, tag) => {
                tagged(ScalarKind::Text, tag.as_deref(), at)?;
                self.open.push((Open::Map { entries: Vec::new(), key: None }, at, anchor));
                Ok(())
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some((open, at, anchor)) = self.open.pop() else { return Ok(()) };
                let content = match open {
                    Open::List(items) => Content::List(items),
                    Open::Map { entries, .. } => Content::Map(entries_of(entries)?),
                };
                self.add(Node { at, content }, anchor)
            }
            _ => Ok(()),
        }
    }

    /// Adds a complete node to its parent.
    fn add(&mut self, node: Node, anchor: usize) -> Result<(), Mistake> {
        self.count(1, node.at)?;
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some((Open::List(items), ..)) => items.push(node),
            Some((Open::Map { entries, key }, ..)) => match key.take() {
                None => *key = Some(node),
                Some(key) => entries.push((key, node)),
            },
        }
        Ok(())
    }

    fn count(&mut self, nodes: usize, at: Position) -> Result<(), Mistake> {
        self.nodes += nodes;
        if self.nodes > MOST_NODES {
            return Err(wrong(at, "more values than a hook can have; are aliases nested?"));
        }
        Ok(())
    }
}

fn wrong(at: Position, message: &str) -> Mistake {
    Mistake { at, message: message.into() }
}

/// The number of nodes in a tree, including its root.
fn size(node: &Node) -> usize {
    1 + match &node.content {
        Content::Scalar(_) => 0,
        Content::List(items) => items.iter().map(size).sum(),
        Content::Map(entries) => entries.iter().map(|entry| size(&entry.value)).sum(),
    }
}

/// The kind that a tag gives. Only YAML's own tags have a meaning.
fn tagged(kind: ScalarKind, tag: Option<&Tag>, at: Position) -> Result<ScalarKind, Mistake> {
    match tag {
        None => Ok(kind),
        Some(tag) if tag.is_yaml_core_schema_tag("str") || tag.parts() == ("", "!") => Ok(ScalarKind::Text),
        Some(tag) if ["int", "float"].iter().any(|number| tag.is_yaml_core_schema_tag(number)) => {
            Ok(ScalarKind::Number)
        }
        Some(tag) if tag.is_yaml_core_schema() => Ok(kind),
        Some(_) => Err(wrong(at, "a tag (!NAME) means nothing here; leave it out")),
    }
}

/// The entries of a map. Those of a merged map (`<<: *NAME`) are added where the map has no such key itself.
fn entries_of(pairs: Vec<(Node, Node)>) -> Result<Vec<Entry>, Mistake> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut merged = Vec::new();
    for (key, value) in pairs {
        let Content::Scalar(Scalar { text, .. }) = key.content else {
            return Err(wrong(key.at, "a key must be one word, as in `key: value`"));
        };
        if text == "<<" {
            merged.push(value);
        } else if let Some(first) = entries.iter().find(|entry| entry.key == text) {
            let message = format!("`{text}` stands twice, first on line {}; keep one", first.at.line);
            return Err(Mistake { at: key.at, message });
        } else {
            entries.push(Entry { key: text, at: key.at, value });
        }
    }
    for value in merged {
        merge(value, &mut entries)?;
    }
    Ok(entries)
}

fn merge(value: Node, entries: &mut Vec<Entry>) -> Result<(), Mistake> {
    match value.content {
        Content::Map(more) => {
            for entry in more {
                if !entries.iter().any(|known| known.key == entry.key) {
                    entries.push(entry);
                }
            }
            Ok(())
        }
        Content::List(items) => items.into_iter().try_for_each(|item| merge(item, entries)),
        Content::Scalar(_) => Err(wrong(value.at, "`<<` merges keys with values, as in `<<: *NAME`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(node: &Node) -> String {
        match &node.content {
            Content::Scalar(scalar) => scalar.text.clone(),
            Content::List(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(",")),
            Content::Map(entries) => {
                let text = |entry: &Entry| format!("{}:{}", entry.key, shown(&entry.value));
                format!("{{{}}}", entries.iter().map(text).collect::<Vec<_>>().join(","))
            }
        }
    }

    fn tree(text: &str) -> String {
        shown(&parse(text).expect(text).expect("a document"))
    }

    fn mistake(text: &str) -> String {
        let mistake = parse(text).expect_err(text);
        format!("{}: {}", mistake.at, mistake.message)
    }

    #[test]
    fn lists_keys_and_texts_become_a_tree() {
        assert_eq!(tree("a: [1, 'two', {b: c}]\nd:\n- e\n"), "{a:[1,two,{b:c}],d:[e]}");
        assert_eq!(tree("\u{feff}a: b\r\nc: d\r\n"), "{a:b,c:d}", "a byte-order mark and CRLF are no text");
        assert!(parse("").expect("empty").is_none());
        assert!(parse("# only a comment\n").expect("empty").is_none());
    }

    #[test]
    fn aliases_and_merge_keys_are_what_they_stand_for() {
        assert_eq!(tree("a: &x [1]\nb: *x\n"), "{a:[1],b:[1]}");
        assert_eq!(tree("a: &x {p: 1, q: 2}\nb: {<<: *x, q: 3}\n"), "{a:{p:1,q:2},b:{q:3,p:1}}");
        assert_eq!(tree("a: {<<: [{p: 1}, {p: 2, q: 2}]}\n"), "{a:{p:1,q:2}}");
        assert!(mistake("a: *x\n").contains("names an anchor"));
        let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for level in 1..9 {
            let below = format!("*a{},", level - 1).repeat(10);
            bomb += &format!("a{level}: &a{level} [{below}]\n");
        }
        assert!(mistake(&bomb).contains("more values than a hook"));
    }

    #[test]
    fn a_mistake_says_its_place() {
        assert!(mistake("a: 1\nb: 2\na: 3\n").starts_with("3:1: `a` stands twice, first on line 1"));
        assert!(mistake("a: 1\n---\nb: 2\n").starts_with("2:1: a second `---`"));
        for (text, place) in [
            ("a:\n\t- b\n", "2:1: a tab"),
            ("a:\r\n  - b: c\r\n\t\td: e\r\n", "3:1: a tab"),
            ("a:\n - é: b\n \tc: d\n", "3:2: a tab"),
        ] {
            assert!(mistake(text).starts_with(place), "{}", mistake(text));
        }
        assert!(mistake("a: 'b\n").contains("quote"));
        assert!(mistake("a: [b\n").contains("pairs"));
        assert!(mistake("a: !foo b\n").contains("tag"));
        assert!(mistake("[a]: b\n").contains("one word"));
    }
}
