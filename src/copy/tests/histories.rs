//! Properties of any history of releases, user edits and interrupted copies.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::history::{Image, Leaf, StatCache, Step, look, step};
use super::*;

/// What is known of a volume while a history is played.
struct Play {
    volume: Volume,
    /// What copies left there. Anything else there is a user's.
    left: BTreeMap<String, Leaf>,
    /// Paths that any image had.
    ever: BTreeSet<String>,
    /// Contents that any image had: a user's equal content cannot be told apart.
    images: BTreeSet<(String, Vec<u8>)>,
    /// Directories that only a user made.
    users: BTreeSet<String>,
}

type Tree = BTreeMap<String, StatCache>;

fn bytes(leaf: &Leaf) -> Vec<u8> {
    format!("{leaf:?}").into_bytes()
}

fn play(steps: &[Step]) -> Result<(), TestCaseError> {
    let mut play = Play {
        volume: Volume::new(),
        left: BTreeMap::new(),
        ever: BTreeSet::new(),
        images: BTreeSet::new(),
        users: BTreeSet::new(),
    };
    steps.iter().try_for_each(|step| play.step(step))
}

impl Play {
    fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        step.image.build(&self.volume);
        let untouched = look(&self.volume);
        step.edits.iter().for_each(|edit| edit.apply(&self.volume));
        let before = look(&self.volume);
        for (path, seen) in &before {
            if seen.leaf.is_none() && !untouched.contains_key(path) && !self.ever.contains(path) {
                self.users.insert(path.clone());
            }
        }
        self.users.retain(|path| before.get(path).is_some_and(|seen| seen.leaf.is_none()));
        for (path, _) in step.image.all().filter(|(path, _)| !step.excludes(path)) {
            let dirs = path.match_indices('/').map(|(at, _)| path[..at].to_owned());
            self.ever.extend(dirs.chain([path.to_owned()]));
        }
        self.images.extend(step.image.all().map(|(path, leaf)| (path.to_owned(), bytes(leaf))));
        self.volume.options.policy = step.policy;
        self.volume.options.prune = step.prune;
        self.volume.options.exclude = step.exclude.iter().map(|path| format!("/{path}")).collect();
        if let Some(steps) = step.cut {
            if cut::after(&mut self.volume, steps).is_none() {
                let after = look(&self.volume);
                self.nothing_is_lost(step, &before, &after, "cut short")?;
                self.brought(&before, &after);
                return Ok(());
            }
        } else {
            self.volume.options.dry_run = true;
            let plan = self.volume.copy();
            self.volume.options.dry_run = false;
            prop_assert_eq!(&look(&self.volume), &before, "a dry run changes nothing");
            let report = self.volume.copy();
            is_as_planned(&plan, &report, &before, &look(&self.volume))?;
            self.nothing_is_lost(step, &before, &look(&self.volume), &report.summary())?;
        }
        let after = look(&self.volume);
        if step.policy == Policy::Replace {
            for (path, leaf) in step.image.all().filter(|(path, _)| !step.excludes(path)) {
                prop_assert_eq!(after.get(path).and_then(|seen| seen.leaf.as_ref()), Some(leaf), "{}", path);
            }
        }
        if step.seals {
            self.volume.seal();
        }
        let again = self.volume.copy();
        prop_assert!(!again.changed(), "a second time: {} {:?}", again.summary(), again.remarks);
        prop_assert_eq!(&look(&self.volume), &after);
        // A user's entry that differs from the image stays the user's in the next step.
        self.left = leaves(&after)
            .filter(|(path, leaf)| {
                let users = before.get(*path).is_some_and(|seen| seen.leaf.as_ref() == Some(leaf))
                    && self.is_edited(path, leaf);
                !users || step.image.get(path) == Some(leaf) && !step.excludes(path)
            })
            .map(|(path, leaf)| (path.clone(), leaf.clone()))
            .collect();
        Ok(())
    }

    fn is_edited(&self, path: &str, leaf: &Leaf) -> bool {
        self.left.get(path) != Some(leaf) && !self.images.contains(&(path.to_owned(), bytes(leaf)))
    }

    /// Whatever changed during a copy is what the copy left.
    fn brought(&mut self, before: &Tree, after: &Tree) {
        for path in before.keys().filter(|path| !after.contains_key(*path)) {
            self.left.remove(path);
        }
        for (path, leaf) in leaves(after) {
            if before.get(path).is_none_or(|seen| seen.leaf.as_ref() != Some(leaf)) {
                self.left.insert(path.clone(), leaf.clone());
            }
        }
    }

    fn nothing_is_lost(
        &self,
        step: &Step,
        before: &Tree,
        after: &Tree,
        told: &str,
    ) -> Result<(), TestCaseError> {
        for (path, leaf) in leaves(before) {
            let found = after.get(path).and_then(|seen| seen.leaf.as_ref());
            let in_image = step.image.get(path).is_some() && !step.excludes(path);
            let in_the_way = step.image.is_in_the_way(path);
            let ours = path.contains(".from-");
            let edited = self.is_edited(path, leaf) && !ours;
            let stays = match step.policy {
                _ if step.excludes(path) => !in_the_way,
                _ if step.prune == Prune::All && !in_image => false,
                Policy::KeepModified => edited,
                Policy::Missing => in_image || edited,
                Policy::Replace => edited && !in_image && !in_the_way,
            } || step.prune != Prune::All && !self.ever.contains(path) && !ours && !in_the_way
                || step.prune == Prune::None && !in_image && !in_the_way && !ours;
            if stays {
                prop_assert_eq!(found, Some(leaf), "{} was lost: {}", path, told);
            }
        }
        for path in self.users.iter().filter(|path| !step.image.leaves.contains_key(path.as_str())) {
            let gone = step.prune == Prune::All || step.image.is_in_the_way(path);
            prop_assert!(gone || after.contains_key(path), "{} is the user's directory: {}", path, told);
        }
        Ok(())
    }
}

fn leaves(tree: &Tree) -> impl Iterator<Item = (&String, &Leaf)> {
    tree.iter().filter_map(|(path, seen)| Some((path, seen.leaf.as_ref()?)))
}

/// A dry run reports the same counts as the copy, and one line for each change, and nothing else.
fn is_as_planned(plan: &Report, report: &Report, before: &Tree, after: &Tree) -> Result<(), TestCaseError> {
    let counts = |r: &Report| {
        (
            r.files,
            r.dirs,
            r.links,
            r.bytes,
            r.metadata,
            r.unchanged,
            r.kept,
            r.removed,
            r.conflicts.items.clone(),
        )
    };
    let lines = &plan.plan.items;
    prop_assert_eq!(counts(plan), counts(report), "{:?}\n{}\n{}", lines, plan.summary(), report.summary());
    let has = |verb: &str, path: &str| {
        lines
            .iter()
            .any(|line| line.strip_prefix(verb).is_some_and(|rest| rest.trim_end_matches('/') == path))
    };
    let replaced =
        |path: &str| has("replace ", path) || lines.contains(&format!("replace {path} by a directory"));
    let above = |path: &str, gone: &dyn Fn(&str) -> bool| {
        path.match_indices('/').any(|(at, _)| gone(&path[..at])) || gone(path)
    };
    for (path, seen) in after {
        if above(path, &|dir| dir.contains(".from-volume")) {
            continue;
        }
        match before.get(path) {
            None => {
                let planned = has("create ", path)
                    || above(path, &|at| has("put beside ", at) || at.ends_with(".from-image"));
                prop_assert!(planned, "{} came unplanned: {:?}", path, lines);
            }
            Some(was) if was.leaf != seen.leaf => {
                let planned = replaced(path) || has("put beside ", path);
                prop_assert!(planned, "{} was replaced unplanned: {:?}", path, lines);
            }
            Some(was) if was.mode != seen.mode => {
                let planned = replaced(path) || has("set the metadata of ", path) || has("put beside ", path);
                prop_assert!(planned, "{} has another mode, unplanned: {:?}", path, lines);
            }
            Some(_) => {}
        }
    }
    for path in before.keys().filter(|path| !after.contains_key(*path)) {
        let planned = above(path, &|at| has("remove ", at) || replaced(at) || has("put beside ", at));
        prop_assert!(planned, "{} went unplanned: {:?}", path, lines);
    }
    for line in lines {
        let path = line.trim_start_matches(|c| c != ' ').trim_start().trim_end_matches('/');
        let is_there = after.contains_key(path);
        let holds = match line.split(' ').next() {
            Some("remove") => (before.contains_key(path) || path.contains(".from-volume")) && !is_there,
            Some("create") => !before.contains_key(path) && is_there,
            _ => true,
        };
        prop_assert!(holds, "planned, but not done: {} of {:?}", line, lines);
    }
    Ok(())
}

fn plain(image: Image, policy: Policy) -> Step {
    Step { image, edits: vec![], policy, prune: Prune::None, seals: false, exclude: None, cut: None }
}

/// Found by the property below: pruning removed everything that the user had not, and the volume was taken for an
/// emptied one.
#[test]
fn a_volume_that_user_and_pruning_emptied_together_is_not_taken_for_a_new_one() {
    let first = plain(Image::of([("a", "p"), ("b", "p")]), Policy::KeepModified);
    let edits = vec![history::Edit::Remove("a")];
    let second = Step { image: Image::of([("a", "p")]), edits, prune: Prune::Owned, ..first.clone() };
    play(&[first, second]).unwrap();
}

/// Found by the property below: the same with a directory.
#[test]
fn a_directory_that_the_user_removed_beside_one_that_was_pruned_stays_removed() {
    let first = plain(Image::of([("d/a", "p"), ("z/only", "p")]), Policy::KeepModified);
    let edits = vec![history::Edit::RemoveAll("d")];
    let second = Step { image: Image::of([("d/a", "p")]), edits, prune: Prune::Owned, ..first.clone() };
    play(&[first, second]).unwrap();
}

/// Found by the property below: a user's entry in its place was taken for the work of a run.
#[test]
fn what_a_user_kept_and_then_removed_is_the_images_where_that_wins() {
    let first = Step {
        edits: vec![history::Edit::Link("a", "p".into())],
        ..plain(Image::of([("a", "p"), ("b", "p")]), Policy::KeepModified)
    };
    let edits = vec![history::Edit::Remove("a")];
    let second = Step { edits, policy: Policy::Replace, ..first.clone() };
    play(&[first, second]).unwrap();
}

/// Found by the property below: the image had a directory there, and the user's entry was sealed as the run's.
#[test]
fn a_file_that_a_user_changed_in_the_way_of_a_directory_is_the_users() {
    let first = Step { seals: true, ..plain(Image::of([("x", "p")]), Policy::Replace) };
    let edits = vec![history::Edit::Write("x", "s".into())];
    let image = Image::of([("x/y", "p")]);
    let second = Step { image, edits, policy: Policy::Missing, ..first.clone() };
    let third = Step { image: Image::of([("x", "r")]), policy: Policy::KeepModified, ..first.clone() };
    play(&[first, second, third]).unwrap();
}

/// The histories are the same in each test run, so that a failure comes from the change at hand. `PROPTEST_RNG_SEED`
/// plays others, `PROPTEST_CASES` more.
fn histories() -> ProptestConfig {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let rng_seed = proptest::test_runner::RngSeed::Fixed(number("PROPTEST_RNG_SEED").unwrap_or(1));
    let cases = number("PROPTEST_CASES").and_then(|n| u32::try_from(n).ok()).unwrap_or(60);
    ProptestConfig { cases, failure_persistence: None, rng_seed, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(histories())]

    #[test]
    fn no_users_edit_is_lost_where_they_are_kept(
        steps in proptest::collection::vec(step(Some(Policy::KeepModified)), 1..5),
    ) {
        play(&steps)?;
    }

    #[test]
    fn the_image_wins_where_it_is_to_and_nothing_else_is_removed(
        steps in proptest::collection::vec(step(Some(Policy::Replace)), 1..5),
    ) {
        play(&steps)?;
    }

    #[test]
    fn whatever_policy_follows_another_its_promise_holds(steps in proptest::collection::vec(step(None), 1..6)) {
        play(&steps)?;
    }
}
