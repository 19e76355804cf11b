//! The manifest of a destination: what the last copy installed. One block per directory; blocks are sorted by path and
//! records by name, so that the same tree always gives the same bytes.
//!
//! ```text
//! hook-runner manifest 2
//! owner /content          who installed what follows, escaped
//! since 1764300000000000000   nanoseconds: of two owners of a name, the later one has it
//! version sha256:0f…      what the source was called (`--source-version`), where it was
//! lacks modes,times=1000000000   what the volume cannot keep (times: to so many nanoseconds), where there is such
//! compared 1764300000.000000000   when the records with the flag `x` were last compared with the volume
//! /                       a directory, escaped; the records below are its entries
//! d - 755 0 0 0 1690000000.000000000 - - = templates
//! /templates
//! f - 644 0 0 …
//! end 2 <blake3 of everything before this line>
//! ```
//!
//! Version 0.1 wrote the header `hook-runner manifest 1` and none of the lines from `owner` to `compared`.
//!
//! A manifest is read block by block and written in one stream. Only the path and offset of each block stay in memory.

pub(crate) mod builder;
pub(crate) mod head;
pub(crate) mod names;
pub(crate) mod pieces;
pub(crate) mod read;
pub(crate) mod record;
pub(crate) mod text;
pub(crate) mod write;

pub(crate) use builder::{Block, Builder, overflow, overflow_in_memory};
pub(crate) use head::Head;
pub(crate) use names::{file_name, name_of};
pub(crate) use pieces::gather;
pub(crate) use read::{Manifest, Reading, records};
pub(crate) use record::{Content, Flags, Hash, Hashing, Kind, Left, Payload, Record};
pub(crate) use text::Time;
pub(crate) use write::{rename, sync_directory, touch, write, write_then};

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;
    use crate::support::rooted_dir::Dir;

    fn sample() -> Vec<(Box<[u8]>, Vec<u8>)> {
        let mut block = Vec::new();
        Record::parse(b"d - 755 0 0 0 1.000000000 - - = sub").unwrap().write(&mut block);
        vec![
            (Box::from(&b""[..]), block.clone()),
            (Box::from(&b"sub"[..]), block.clone()),
            (Box::from(&b"sub-2"[..]), block),
        ]
    }

    #[test]
    fn a_manifest_reads_back_and_an_altered_or_torn_one_is_not_trusted() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        let name = OsStr::new("root");
        assert!(matches!(Manifest::read(&dir, name).unwrap(), Reading::Absent));
        let head = Head {
            owner: b"a b".to_vec(),
            since: Some(7),
            source_version: Some(b"v\n1".to_vec()),
            lacks: Some("modes".into()),
            follows: true,
            compared: Some((-1, 7)),
        };
        write(&dir, name, &head, sample().into_iter().map(Ok)).unwrap();
        let Reading::Read(manifest) = Manifest::read(&dir, name).unwrap() else { panic!("must be read") };
        assert_eq!((manifest.len(), &manifest.head), (3, &head));
        assert_eq!(manifest.subtree(b"sub").map(|at| manifest.path(at)).collect::<Vec<_>>(), [b"sub"]);
        let mut block = Vec::new();
        manifest.load(1, &mut block).unwrap();
        assert_eq!(records(&block).next().unwrap().name.as_ref(), b"sub");

        let whole = std::fs::read(temp.path().join("root")).unwrap();
        for torn in [0, 10, whole.len() / 2, whole.len() - 1] {
            std::fs::write(temp.path().join("root"), &whole[..torn]).unwrap();
            assert!(matches!(Manifest::read(&dir, name).unwrap(), Reading::Unusable), "cut at {torn}");
        }
        for at in 0..whole.len() {
            let mut altered = whole.clone();
            altered[at] ^= 1;
            std::fs::write(temp.path().join("root"), &altered).unwrap();
            assert!(matches!(Manifest::read(&dir, name).unwrap(), Reading::Unusable), "altered at {at}");
        }
    }

    #[test]
    fn a_manifest_is_found_wherever_the_volume_is_mounted() {
        let temp = tempfile::tempdir().unwrap();
        for mount in ["a", "b"] {
            std::fs::create_dir_all(temp.path().join(mount).join("app/static")).unwrap();
        }
        let name = |mount: &str, sub: &str| {
            let mount = temp.path().join(mount);
            name_of(&mount.join(sub), &mount.join(".hook-runner"))
        };
        assert_eq!(name("a", ""), "root");
        assert_eq!(name("a", "app/static"), name("b", "app/static"));
        assert_ne!(name("a", "app"), name("a", "app/static"));
    }
}
