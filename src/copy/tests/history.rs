//! Generates histories of a volume for the properties: releases of an image, user edits between them, and copies of
//! every kind.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;

use super::*;

const PATHS: [&str; 8] = ["a", "b", "d/a", "d/e/f", "h", "x", "x/y", "z/only"];
const DIRS: [&str; 4] = ["d", "d/e", "x", "z"];
/// No release has a directory there, because a user's link would be in its way.
const LEAVES: [&str; 4] = ["a", "b", "d/a", "d/e/f"];

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Leaf {
    File(String),
    Link(String),
}

#[derive(Debug, Clone)]
pub(super) struct Image {
    pub(super) leaves: BTreeMap<&'static str, Leaf>,
    modes: BTreeMap<&'static str, u32>,
    attributes: BTreeMap<&'static str, String>,
    /// The mtime of every file and link.
    seconds: u64,
    /// `h` is a hard link of `a`, if that is a file.
    linked: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Edit {
    Write(&'static str, String),
    Link(&'static str, String),
    Remove(&'static str),
    RemoveAll(&'static str),
    Mode(&'static str, u32),
    Touch(&'static str),
}

/// One release, and what happened on the volume before it.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) image: Image,
    pub(super) edits: Vec<Edit>,
    pub(super) policy: Policy,
    pub(super) prune: Prune,
    pub(super) seals: bool,
    /// Excluded from the copy.
    pub(super) exclude: Option<&'static str>,
    /// The copy is interrupted after this many steps.
    pub(super) cut: Option<usize>,
}

impl Image {
    /// An image with only these files.
    pub(super) fn of<const N: usize>(files: [(&'static str, &str); N]) -> Self {
        Self {
            leaves: files.map(|(path, content)| (path, Leaf::File(content.into()))).into(),
            modes: BTreeMap::new(),
            attributes: BTreeMap::new(),
            seconds: 1,
            linked: false,
        }
    }

    /// Makes this the current image.
    pub(super) fn build(&self, volume: &Volume) {
        std::fs::remove_dir_all(volume.image("")).unwrap();
        std::fs::create_dir(volume.image("")).unwrap();
        for (path, leaf) in &self.leaves {
            match leaf {
                Leaf::File(content) => volume.put(path, content),
                Leaf::Link(target) => {
                    std::fs::create_dir_all(volume.image(path).parent().unwrap()).unwrap();
                    std::os::unix::fs::symlink(target, volume.image(path)).unwrap();
                }
            }
            date(&volume.image(path), self.seconds);
        }
        for (path, value) in &self.attributes {
            if volume.image(path).symlink_metadata().is_ok_and(|found| !found.is_symlink()) {
                let none = rustix::fs::XattrFlags::empty();
                rustix::fs::setxattr(volume.image(path), "user.a", value.as_bytes(), none).unwrap();
            }
        }
        if self.links().is_some() {
            std::fs::hard_link(volume.image("a"), volume.image("h")).unwrap();
        }
        for (path, mode) in self.modes.iter().rev() {
            chmod(&volume.image(path), *mode);
        }
    }

    fn links(&self) -> Option<&Leaf> {
        self.leaves.get("a").filter(|leaf| self.linked && matches!(leaf, Leaf::File(_)))
    }

    /// The entry at a path.
    pub(super) fn get(&self, path: &str) -> Option<&Leaf> {
        self.leaves.get(path).or_else(|| self.links().filter(|_| path == "h"))
    }

    /// All its files and links.
    pub(super) fn all(&self) -> impl Iterator<Item = (&'static str, &Leaf)> {
        self.leaves.iter().map(|(path, leaf)| (*path, leaf)).chain(self.links().map(|leaf| ("h", leaf)))
    }

    /// Whether one of the two has a directory where the other has something else.
    pub(super) fn is_in_the_way(&self, path: &str) -> bool {
        let below = |path: &str, dir: &str| path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'));
        self.all().any(|(other, _)| below(other, path) || below(path, other))
    }
}

impl Step {
    /// Whether a path is excluded.
    pub(super) fn excludes(&self, path: &str) -> bool {
        let rest = self.exclude.and_then(|exclude| path.strip_prefix(exclude));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

fn chmod(path: &Path, mode: u32) {
    if path.symlink_metadata().is_ok_and(|found| !found.is_symlink()) {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }
}

fn date(path: &Path, seconds: u64) {
    let time = rustix::fs::Timespec { tv_sec: seconds.try_into().unwrap(), tv_nsec: 0 };
    let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
    let nofollow = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
    let _ = rustix::fs::utimensat(rustix::fs::CWD, path, &times, nofollow);
}

impl Edit {
    /// Creates it if possible: a file may be where a directory is needed, or the reverse.
    pub(super) fn apply(&self, volume: &Volume) {
        let at = |path: &str| volume.at(path);
        match self {
            Self::Remove(path) => drop(std::fs::remove_file(at(path))),
            Self::RemoveAll(path) => drop(std::fs::remove_dir_all(at(path))),
            Self::Mode(path, mode) => chmod(&at(path), *mode),
            Self::Touch(path) => date(&at(path), 77),
            Self::Write(path, _) | Self::Link(path, _) => {
                if at(path).is_dir() || std::fs::create_dir_all(at(path).parent().unwrap()).is_err() {
                    return;
                }
                match self {
                    Self::Link(_, target) => {
                        let _ = std::fs::remove_file(at(path));
                        std::os::unix::fs::symlink(target, at(path)).unwrap();
                    }
                    Self::Write(_, content) => volume.edit(path, content),
                    _ => {}
                }
            }
        }
    }
}

fn leaf() -> impl Strategy<Value = Leaf> {
    prop_oneof![4 => "[p-r]{1,2}".prop_map(Leaf::File), 1 => "[p-r]".prop_map(Leaf::Link)]
}

fn mode() -> impl Strategy<Value = u32> {
    proptest::sample::select(vec![0o755, 0o700, 0o2755, 0o640])
}

fn image() -> impl Strategy<Value = Image> {
    use proptest::collection::btree_map;
    use proptest::sample::select;
    let leaves = btree_map(select(&PATHS[..]), leaf(), 0..7).prop_map(|mut leaves| {
        // An entry is a file, a link or a directory.
        if leaves.contains_key("x") {
            leaves.remove("x/y");
        }
        leaves
    });
    let modes = btree_map(select([&PATHS[..], &DIRS[..]].concat()), mode(), 0..3);
    let attributes = btree_map(select([&LEAVES[..], &DIRS[..]].concat()), "[p-q]", 0..3);
    (leaves, modes, attributes, 1..3u64, any::<bool>()).prop_map(
        |(mut leaves, mut modes, attributes, seconds, linked)| {
            if linked {
                leaves.remove("h");
            }
            // Another test has directories that their owner may not enter.
            modes.retain(|path, mode| *mode != 0o640 || !DIRS.contains(path));
            Image { leaves, modes, attributes, seconds, linked }
        },
    )
}

fn edit() -> impl Strategy<Value = Edit> {
    use proptest::sample::select;
    prop_oneof![
        6 => (select(&PATHS[..]), "[p-u]{1,2}").prop_map(|(path, content)| Edit::Write(path, content)),
        2 => (select(&LEAVES[..]), "[p-t]").prop_map(|(path, target)| Edit::Link(path, target)),
        4 => select(&PATHS[..]).prop_map(Edit::Remove),
        1 => select(&DIRS[..]).prop_map(Edit::RemoveAll),
        1 => (select([&LEAVES[..], &DIRS[..]].concat()), mode()).prop_map(|(path, mode)| Edit::Mode(path, mode | 0o700)),
        1 => select(&PATHS[..]).prop_map(Edit::Touch),
    ]
}

/// Steps with the given policy, or with any.
pub(super) fn step(policy: Option<Policy>) -> impl Strategy<Value = Step> {
    use proptest::sample::select;
    let policies = [Policy::Replace, Policy::KeepModified, Policy::Missing];
    let policies = select(policy.map_or(policies.to_vec(), |policy| vec![policy]));
    let prune = select(vec![Prune::None, Prune::Owned, Prune::Owned, Prune::All]);
    let cut = proptest::option::weighted(0.3, 0..40usize);
    let exclude = proptest::option::weighted(0.2, select([&LEAVES[..], &DIRS[..]].concat()));
    (image(), proptest::collection::vec(edit(), 0..4), policies, prune, any::<bool>(), exclude, cut).prop_map(
        |(image, edits, policy, prune, seals, exclude, cut)| Step {
            image,
            edits,
            policy,
            prune,
            seals,
            exclude,
            cut,
        },
    )
}

/// The content and mode of a path on the volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StatCache {
    /// `None` for a directory.
    pub(super) leaf: Option<Leaf>,
    pub(super) mode: u32,
}

/// Everything on the volume except the runner's own files.
pub(super) fn look(volume: &Volume) -> BTreeMap<String, StatCache> {
    let mut found = BTreeMap::new();
    let mut todo = vec![String::new()];
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(volume.at(&dir)).unwrap().flatten() {
            let name = entry.file_name().into_string().unwrap();
            let path = if dir.is_empty() { name } else { format!("{dir}/{name}") };
            if path == ".hook-runner" {
                continue;
            }
            let stat = entry.metadata().unwrap();
            let leaf = if stat.is_dir() {
                todo.push(path.clone());
                None
            } else if stat.is_symlink() {
                Some(Leaf::Link(
                    volume.at(&path).read_link().unwrap().into_os_string().into_string().unwrap(),
                ))
            } else {
                Some(Leaf::File(volume.read(&path)))
            };
            found.insert(path, StatCache { leaf, mode: stat.permissions().mode() & 0o7777 });
        }
    }
    found
}
