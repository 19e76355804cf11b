//! The house: the rooms of `src/` use each other only as the table of docs/architecture.md allows, no file is in a circle
//! with another, and no file is too large to be read at once.
//!
//! Reads the source as text: `crate::`, `super::` and `self::` paths outside comments, strings and test modules.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Lines that a file of `src/` may have.
const LONGEST_FILE: usize = 400;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// One file of `src/`: its module path (`["copy", "plan", "table"]`) and its code.
struct Module {
    path: Vec<String>,
    file: PathBuf,
    lines: usize,
    code: String,
}

fn modules() -> Vec<Module> {
    let source = root().join("src");
    let mut found = Vec::new();
    let mut directories = vec![source.clone()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory).expect("a directory of the source") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let relative = path.strip_prefix(&source).expect("below src").with_extension("");
                let mut names: Vec<String> =
                    relative.iter().map(|name| name.to_string_lossy().into_owned()).collect();
                if names.last().is_some_and(|name| name == "mod") {
                    names.pop();
                }
                // Tests in files of their own may use what they test.
                if names.iter().any(|name| name == "tests") || names.first().is_some_and(|name| name == "bin")
                {
                    continue;
                }
                let text = std::fs::read_to_string(&path).expect("a source file");
                let lines = text.lines().count();
                found.push(Module {
                    path: names,
                    file: relative.with_extension("rs"),
                    lines,
                    code: code(&text),
                });
            }
        }
    }
    assert!(found.len() > 50, "only {} files were found below src", found.len());
    found
}

/// The text without comments, the contents of strings, and test modules.
fn code(text: &str) -> String {
    let text = text.find("#[cfg(test)]\nmod tests {").map_or(text, |at| &text[..at]);
    let mut kept = String::new();
    for line in text.lines() {
        let mut string = false;
        let mut before = '\0';
        for (at, character) in line.char_indices() {
            if !string && line[at..].starts_with("//") {
                break;
            }
            if character == '"' && before != '\\' && before != '\'' {
                string = !string;
            }
            if !string {
                kept.push(character);
            }
            before = character;
        }
        kept.push('\n');
    }
    kept
}

/// The paths that begin with `crate`, `super` or `self`, braces expanded: `use super::{a, b::c}` gives two.
fn paths(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(at) = ["crate::", "super::", "self::"].iter().filter_map(|start| rest.find(start)).min() {
        let is_word = rest[..at]
            .chars()
            .next_back()
            .is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '$');
        let (used, tree) = tree(&rest[at..]);
        if !is_word {
            found.extend(tree);
        }
        rest = &rest[at + used.max(1)..];
    }
    found
}

/// The paths that a use tree at the start of `text` stands for, and its length in bytes.
fn tree(text: &str) -> (usize, Vec<Vec<String>>) {
    let word = text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len());
    let name = text[..word].to_owned();
    let Some(after) = text[word..].strip_prefix("::") else { return (word, vec![vec![name]]) };
    let mut used = word + 2;
    let mut tails = Vec::new();
    if let Some(inner) = after.strip_prefix('{') {
        used += 1;
        let mut left = inner;
        loop {
            let blank = left.len() - left.trim_start_matches([' ', '\n', ',']).len();
            left = &left[blank..];
            used += blank;
            if left.is_empty() || left.starts_with('}') {
                break;
            }
            let (length, paths) = tree(left);
            tails.extend(paths);
            // `as name` and `*` are skipped.
            let skip = left[length..].find([',', '}']).map_or(left.len(), |at| at + length);
            left = &left[skip..];
            used += skip;
        }
        used += 1;
    } else {
        let (length, paths) = tree(after);
        used += length;
        tails = paths;
    }
    let joined = tails.into_iter().map(|tail| std::iter::once(name.clone()).chain(tail).collect()).collect();
    (used, joined)
}

/// From the file of a module, the path that `path` names, from the root of the crate.
fn resolved(from: &Module, path: &[String]) -> Vec<String> {
    let mut base = from.path.clone();
    let mut rest = path;
    match rest[0].as_str() {
        "crate" => {
            base.clear();
            rest = &rest[1..];
        }
        "self" => rest = &rest[1..],
        _ => {}
    }
    while rest.first().is_some_and(|name| name == "super") {
        base.pop();
        rest = &rest[1..];
    }
    base.extend(rest.iter().cloned());
    base
}

fn room(path: &[String]) -> String {
    match path.first() {
        Some(room) => room.clone(),
        None => "lib".into(),
    }
}

/// The allowed arrows: rows `| room | rooms that it may use |` below the heading "Rooms and arrows".
fn allowed() -> BTreeMap<String, BTreeSet<String>> {
    let text = std::fs::read_to_string(root().join("docs/architecture.md")).expect("docs/architecture.md");
    let section = text
        .split("## Rooms and arrows")
        .nth(1)
        .expect("the heading")
        .split("\n## ")
        .next()
        .unwrap_or_default();
    let names = |cell: &str| -> BTreeSet<String> {
        cell.split('`').skip(1).step_by(2).map(|name| name.trim_end_matches('/').to_owned()).collect()
    };
    let rows = section.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split('|');
        let room = names(&format!("`{}", cells.next()?)).into_iter().next()?;
        Some((room, names(cells.next()?)))
    });
    rows.collect()
}

#[test]
fn rooms_use_each_other_only_as_the_table_of_the_architecture_allows() {
    let allowed = allowed();
    let modules = modules();
    let mut wrong = BTreeSet::new();
    for module in &modules {
        let from = room(&module.path);
        // `lib` and `main` open the door; every room stands below them.
        if from == "lib" || from == "main" {
            continue;
        }
        let Some(may) = allowed.get(&from) else {
            wrong.insert(format!("{from}/ has no row in the table"));
            continue;
        };
        for path in paths(&module.code) {
            let to = room(&resolved(module, &path));
            if to != from && to != "lib" && !may.contains(&to) {
                wrong.insert(format!("{} uses {to}/", module.file.display()));
            }
        }
    }
    for row in allowed.keys() {
        if !modules.iter().any(|module| room(&module.path) == *row) {
            wrong.insert(format!("the table has {row}/, which is no room of src/"));
        }
    }
    assert!(wrong.is_empty(), "not in the table of docs/architecture.md:\n{wrong:#?}");
    let circles = circles(&allowed);
    assert!(circles.is_empty(), "the table allows circles: {circles:?}");
}

#[test]
fn no_file_is_in_a_circle_with_another() {
    let modules = modules();
    let known: BTreeSet<Vec<String>> = modules.iter().map(|module| module.path.clone()).collect();
    let reexports: BTreeMap<Vec<String>, Vec<String>> = modules.iter().flat_map(reexports).collect();
    let mut arrows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for module in &modules {
        let uses = arrows.entry(module.path.join("::")).or_default();
        for path in paths(&without_reexports(&module.code)) {
            let mut target = resolved(module, &path);
            // A name is handed on through a few modules at most.
            for _ in 0..8 {
                if let Some(original) = reexports.get(&target) {
                    target.clone_from(original);
                }
            }
            // The longest prefix that is a file.
            while !known.contains(&target) && target.pop().is_some() {}
            if target != module.path && !target.is_empty() {
                uses.insert(target.join("::"));
            }
        }
        // A parent that calls its child by the bare name of the module.
        for child in &known {
            if child.len() == module.path.len() + 1
                && child.starts_with(&module.path)
                && calls(&without_reexports(&module.code), &child[child.len() - 1])
            {
                uses.insert(child.join("::"));
            }
        }
    }
    let circles = circles(&arrows);
    assert!(circles.is_empty(), "files that use each other in a circle:\n{circles:#?}");
}

/// `pub use child::Name;` of a module: from the name as others use it to where it is defined.
fn reexports(module: &Module) -> Vec<(Vec<String>, Vec<String>)> {
    let mut found = Vec::new();
    for statement in module.code.split("pub").skip(1) {
        let statement = statement.trim_start_matches("(crate)").trim_start_matches("(super)");
        let Some(statement) = statement.strip_prefix(" use ") else { continue };
        let statement = statement.split(';').next().unwrap_or_default();
        if statement.contains(" as ") {
            continue;
        }
        for path in tree(statement).1 {
            let target = match path[0].as_str() {
                "crate" | "super" | "self" => resolved(module, &path),
                _ => module.path.iter().chain(&path).cloned().collect(),
            };
            let name = path.last().cloned().unwrap_or_default();
            found.push((module.path.iter().cloned().chain([name]).collect(), target));
        }
    }
    found
}

fn without_reexports(code: &str) -> String {
    let mut kept = String::new();
    let mut rest = code;
    while let Some(at) =
        ["pub use ", "pub(crate) use ", "pub(super) use "].iter().filter_map(|start| rest.find(start)).min()
    {
        kept.push_str(&rest[..at]);
        rest = rest[at..].find(';').map_or("", |end| &rest[at + end..]);
    }
    kept + rest
}

fn calls(code: &str, module: &str) -> bool {
    let call = format!("{module}::");
    code.match_indices(&call).any(|(at, _)| {
        !code[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
    })
}

/// Groups of names that reach each other.
fn circles(arrows: &BTreeMap<String, BTreeSet<String>>) -> Vec<Vec<String>> {
    let reach = |from: &String| {
        let mut seen = BTreeSet::new();
        let mut next: Vec<&String> = arrows.get(from).into_iter().flatten().collect();
        while let Some(at) = next.pop() {
            if seen.insert(at.clone()) {
                next.extend(arrows.get(at).into_iter().flatten());
            }
        }
        seen
    };
    let reached: BTreeMap<&String, BTreeSet<String>> =
        arrows.keys().map(|name| (name, reach(name))).collect();
    let mut groups: BTreeSet<Vec<String>> = BTreeSet::new();
    for (name, seen) in &reached {
        if seen.contains(*name) {
            let group =
                seen.iter().filter(|other| reached.get(other).is_some_and(|back| back.contains(*name)));
            groups.insert(group.cloned().collect());
        }
    }
    groups.into_iter().collect()
}

#[test]
fn no_file_is_too_long_to_be_read_at_once() {
    let long: Vec<_> = modules()
        .iter()
        .filter(|module| module.lines > LONGEST_FILE)
        .map(|module| format!("{}: {}", module.file.display(), module.lines))
        .collect();
    assert!(long.is_empty(), "above {LONGEST_FILE} lines: {long:?}");
}

#[test]
fn the_reader_of_the_source_sees_arrows_and_circles() {
    let from =
        Module { path: vec!["a".into(), "b".into()], file: PathBuf::new(), lines: 0, code: String::new() };
    let text = code("use super::{c, d::{E, F}}; // crate::no\nlet x = \"crate::no\"; crate::y::z(1);");
    let found: Vec<String> = paths(&text).iter().map(|path| resolved(&from, path).join("::")).collect();
    assert_eq!(found, ["a::c", "a::d::E", "a::d::F", "y::z"]);
    let arrows = BTreeMap::from([
        ("a".to_owned(), BTreeSet::from(["b".to_owned()])),
        ("b".to_owned(), BTreeSet::from(["c".to_owned()])),
        ("c".to_owned(), BTreeSet::from(["a".to_owned()])),
        ("d".to_owned(), BTreeSet::from(["a".to_owned()])),
    ]);
    assert_eq!(circles(&arrows), [["a", "b", "c"]]);
}
