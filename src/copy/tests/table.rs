//! Each row of the table in `decide`, read from its comment and run on real files, with all types that either side may
//! have.

use super::*;

const IMAGES: [&str; 2] = ["file", "link"];
const OTHERS: [&str; 3] = ["file", "link", "directory"];

#[test]
fn the_table_holds_in_every_combination() {
    let mut rows = 0;
    for line in include_str!("../plan/decide.rs").lines().filter_map(|line| line.strip_prefix("//! | ")) {
        let cells: Vec<&str> = line.trim_end_matches('|').split('|').map(str::trim).collect();
        let [manifest, volume, outcomes @ ..] = &cells[..] else { panic!("a row of the table") };
        if *manifest == "manifest" {
            continue;
        }
        rows += 1;
        for (policy, outcome) in
            [Policy::Replace, Policy::KeepModified, Policy::Missing].into_iter().zip(outcomes)
        {
            let outcome = outcome.split(' ').next().unwrap();
            for image in IMAGES {
                for other in OTHERS {
                    check(manifest, volume, policy, outcome, image, other);
                }
            }
        }
    }
    assert_eq!(rows, 11);
}

fn set(path: &Path, kind: &str, content: &str) {
    let _ = std::fs::remove_file(path);
    match kind {
        "link" => std::os::unix::fs::symlink(content, path).unwrap(),
        "directory" => super::write(&path.join("inside"), content),
        _ => super::write(path, content),
    }
}

fn look(path: &Path) -> Option<(&'static str, String)> {
    let kind = path.symlink_metadata().ok()?.file_type();
    Some(if kind.is_symlink() {
        ("link", path.read_link().unwrap().to_string_lossy().into_owned())
    } else if kind.is_dir() {
        ("directory", std::fs::read_to_string(path.join("inside")).unwrap())
    } else {
        ("file", std::fs::read_to_string(path).unwrap())
    })
}

fn check(manifest: &str, volume: &str, policy: Policy, outcome: &str, image: &str, other: &str) {
    let case = format!("{manifest}, {volume}, {policy}: {outcome} (image {image}, other {other})");
    let mut on = Volume::new();
    on.put("beside", "so that the volume is never empty");
    if manifest != "new" {
        on.put("f", "one");
    }
    on.copy();
    // The image's type changes only if the image has changed.
    let (kind, content) = if manifest == "same" { ("file", "one") } else { (image, "two") };
    set(&on.image("f"), kind, content);
    match volume {
        "absent" => drop(std::fs::remove_file(on.at("f"))),
        "as left" => {}
        "image's" => set(&on.at("f"), kind, content),
        "other" => {
            let _ = std::fs::remove_file(on.at("f"));
            set(&on.at("f"), other, "mine");
        }
        _ => panic!("{volume} is not in the table"),
    }
    let before = look(&on.at("f"));
    on.options.policy = policy;
    let report = on.copy();
    let wanted = Some((if kind == "link" { "link" } else { "file" }, content.to_owned()));
    let after = look(&on.at("f"));
    let beside = look(&on.at("f.from-image"));
    let installed = report.files + report.links;
    match outcome {
        "install" => {
            assert_eq!((after, installed), (wanted, 1), "{case}");
            if volume == "other" && other == "directory" {
                assert_eq!(look(&on.at("f.from-volume")), before, "{case}");
            }
        }
        "adopt" | "nothing" => assert_eq!((after, installed), (wanted, 0), "{case}"),
        "keep" | "leave" => assert_eq!((after, installed, beside), (before, 0, None), "{case}"),
        "conflict" => {
            assert_eq!((after, beside), (before, wanted), "{case}");
            assert_eq!(report.conflicts.items, ["f"], "{case}");
        }
        _ => panic!("{outcome} is not explained"),
    }
    let again = on.copy();
    assert!(!again.changed(), "a second time: {case}: {}", again.summary());
}
