//! Another writer on the volume: nothing outside the destination is read, written, chmod-ed or removed.

use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

#[test]
fn a_directory_link_on_the_volume_is_followed_only_when_asked_for() {
    for follow in [false, true] {
        let mut volume = Volume::new();
        volume.put("app/file", "1");
        let outside = volume.temp.path().join("outside");
        std::fs::create_dir(&outside).unwrap();
        symlink(&outside, volume.at("app")).unwrap();
        volume.options.follow_destination_links = follow;
        volume.copy();
        assert_eq!(outside.join("file").exists(), follow);
        assert_eq!(volume.at("app").is_symlink(), follow);
        assert_eq!(volume.read("app/file"), "1");
    }
}

#[test]
fn planted_links_and_fifos_are_replaced_not_written_through() {
    let mut volume = Volume::new();
    let secret = volume.temp.path().join("secret");
    std::fs::write(&secret, "secret").unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    for name in ["soft", "hard", "fifo"] {
        volume.put(name, "image");
    }
    symlink(&secret, volume.at("soft")).unwrap();
    std::fs::hard_link(&secret, volume.at("hard")).unwrap();
    nix::unistd::mkfifo(&volume.at("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    volume.copy();
    for name in ["soft", "hard", "fifo"] {
        assert_eq!(volume.read(name), "image");
        assert!(volume.at(name).symlink_metadata().unwrap().is_file());
    }
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), "secret");
    assert_eq!(secret.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    // The same content has a second, planted name: its mode is not changed through that name either.
    std::fs::write(&secret, "image").unwrap();
    std::fs::remove_file(volume.at("hard")).unwrap();
    std::fs::hard_link(&secret, volume.at("hard")).unwrap();
    volume.copy();
    assert_eq!(secret.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn something_planted_for_the_manifest_is_not_read_and_replaced_by_the_next() {
    let mut volume = Volume::new();
    volume.put("file", "1");
    let outside = volume.temp.path().join("outside");
    for release in 0..4 {
        volume.put("file", &release.to_string());
        volume.copy();
        let manifest = volume.at(".hook-runner/manifests/image");
        std::fs::rename(&manifest, &outside).unwrap();
        match release {
            0 => symlink(&outside, &manifest).unwrap(),
            1 => drop(std::os::unix::net::UnixListener::bind(&manifest).unwrap()),
            2 => nix::unistd::mkfifo(&manifest, nix::sys::stat::Mode::S_IRWXU).unwrap(),
            _ => std::fs::write(&manifest, "nonsense").unwrap(),
        }
        let report = volume.copy();
        assert_eq!(report.remarks.len(), 1, "{release}: {:?}", report.remarks);
        assert!(manifest.symlink_metadata().unwrap().is_file());
        assert!(!volume.copy().changed());
    }
}

#[test]
fn names_that_are_swapped_for_links_while_the_copy_runs_lead_nowhere() {
    let mut volume = Volume::new();
    let outside = volume.temp.path().join("outside");
    std::fs::create_dir_all(outside.join("sub")).unwrap();
    let names: Vec<String> = (0..12).map(|n| format!("d{n}")).collect();
    for (n, name) in names.iter().enumerate() {
        for file in 0..8 {
            volume.put(&format!("{name}/sub/f{file}"), &n.to_string());
        }
        std::fs::create_dir_all(volume.at(name).join("sub")).unwrap();
    }
    std::fs::write(outside.join("witness"), "untouched").unwrap();
    volume.options.prune = Prune::All;
    let over = AtomicBool::new(false);
    let (root, names, outside_ref, over_ref) = (volume.at(""), &names, &outside, &over);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut n = 0usize;
            while !over_ref.load(Ordering::Relaxed) {
                let name = root.join(&names[n % names.len()]);
                let aside = root.join(format!("aside{n}"));
                if std::fs::rename(&name, &aside).is_ok() {
                    let _ = symlink(outside_ref, &name);
                    std::thread::yield_now();
                    let _ = std::fs::remove_file(&name);
                    let _ = std::fs::rename(&aside, &name);
                }
                n += 1;
            }
        });
        for round in 0..15 {
            for name in names {
                volume.put(&format!("{name}/sub/f0"), &format!("round {round}"));
            }
            // The copy may fail, because a name was swapped. It must not leave the volume.
            let _ = copy(&volume.request(), &Silent, &CancellationToken::new());
        }
        over.store(true, Ordering::Relaxed);
    });
    let left: Vec<_> = std::fs::read_dir(&outside).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
    assert_eq!(std::fs::read_to_string(outside.join("witness")).unwrap(), "untouched");
    assert_eq!(std::fs::read_dir(outside.join("sub")).unwrap().count(), 0);
}

/// What another writer plants under a name.
const PLANTED: [&str; 6] = ["link to a file", "link to a directory", "hard link", "twin", "FIFO", "nothing"];

fn plant(kind: &str, outside: &Path, name: &Path) {
    // The copy may have installed something there already.
    let _ = match kind {
        "link to a file" => symlink(outside.join("secret"), name),
        "link to a directory" => symlink(outside, name),
        "hard link" => std::fs::hard_link(outside.join("secret"), name),
        // The image's content, so that only mode and mtime differ.
        "twin" => std::fs::hard_link(outside.join("twin"), name),
        "FIFO" => nix::unistd::mkfifo(name, nix::sys::stat::Mode::S_IRWXU).map_err(Into::into),
        _ => Ok(()),
    };
}

/// Everything about a directory's entries that a write, a chmod or a removal would change.
fn fingerprint(of: &Path) -> Vec<String> {
    let mut all = Vec::new();
    let mut todo = vec![of.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let stat = path.symlink_metadata().unwrap();
            let owner = (stat.uid(), stat.gid());
            let content = if stat.is_file() { std::fs::read(&path).unwrap() } else { Vec::new() };
            let times = (stat.mtime(), stat.mtime_nsec());
            all.push(format!("{} {:o} {owner:?} {times:?} {content:?}", path.display(), stat.mode()));
            if stat.is_dir() {
                todo.push(path);
            }
        }
    }
    all.sort();
    all
}

/// The names that the other writer attacks: the image's entries, staging, manifests.
fn targets(root: &Path, image: &[String]) -> Vec<PathBuf> {
    let mut targets: Vec<_> = image.iter().map(|path| root.join(path)).collect();
    targets.push(root.join(".hook-runner/manifests"));
    for name in ["root", "root.new", "root.next", "root.next.new"] {
        targets.push(root.join(".hook-runner/manifests").join(name));
    }
    let below = |dir: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    };
    for run in below(&root.join(".hook-runner/stage")) {
        for numbered in below(&run) {
            targets.extend(below(&numbered));
            targets.push(numbered);
        }
        targets.push(run);
    }
    targets
}

#[test]
fn whatever_is_planted_while_copy_prune_seal_and_verify_are_at_work_leads_nowhere() {
    let mut volume = Volume::new();
    let outside = volume.temp.path().join("outside");
    std::fs::create_dir_all(outside.join("sub")).unwrap();
    let mut image = Vec::new();
    for d in 0..6 {
        for path in [format!("d{d}"), format!("d{d}/sub")] {
            std::fs::create_dir_all(outside.join(&path)).unwrap();
            image.push(path);
        }
        for f in 0..4 {
            let path = format!("d{d}/sub/f{f}");
            volume.put(&path, "image");
            std::fs::write(outside.join(&path), "outside").unwrap();
            image.push(path);
        }
    }
    for (name, content) in [("secret", "secret"), ("twin", "image"), ("f0", "f0"), ("root", "root")] {
        std::fs::write(outside.join(name), content).unwrap();
        std::fs::set_permissions(outside.join(name), std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    volume.copy();
    let before = fingerprint(&outside);
    let over = AtomicBool::new(false);
    let (root, image, outside_ref, over_ref) = (volume.at(""), &image, &outside, &over);
    let (mut ended, mut failed) = (0, 0);
    std::thread::scope(|scope| {
        let planter = scope.spawn(move || {
            let (mut n, mut planted) = (0usize, 0);
            let volume_dir = crate::support::rooted_dir::Dir::open(&root).unwrap();
            while !over_ref.load(Ordering::Relaxed) {
                for name in targets(&root, image) {
                    // Through handles: a planted link in staging may have been published.
                    let below = name.parent().unwrap().strip_prefix(&root).unwrap();
                    let here = below.as_os_str().is_empty();
                    let opened = if here { volume_dir.reopen() } else { volume_dir.open_dir(below) };
                    let Ok(dir) = opened else { continue };
                    let name = PathBuf::from(format!("/proc/self/fd/{}", dir.as_fd().as_raw_fd()))
                        .join(name.file_name().unwrap());
                    n += 1;
                    let aside = outside_ref.with_file_name(format!("aside{n}"));
                    let moved = std::fs::rename(&name, &aside).is_ok();
                    plant(PLANTED[n % PLANTED.len()], outside_ref, &name);
                    std::thread::yield_now();
                    planted += u32::from(std::fs::remove_file(&name).is_ok());
                    if moved && std::fs::rename(&aside, &name).is_err() {
                        let _ = std::fs::remove_dir_all(&aside);
                    }
                }
            }
            planted
        });
        for round in 0..60 {
            for d in 0..6 {
                volume.put(&format!("d{d}/sub/f0"), &format!("round {round}"));
            }
            let dropped = format!("d{}/sub/dropped", round % 6);
            volume.put(&dropped, "dropped");
            volume.options.policy = [Policy::Replace, Policy::KeepModified, Policy::Missing][round % 3];
            volume.options.prune = [Prune::All, Prune::Owned][round % 2];
            for step in 0..2 {
                let request = volume.request();
                // Each may fail, because a name was swapped, but it must neither hang nor leave the volume.
                let outcome = copy(&request, &Silent, &CancellationToken::new());
                *if outcome.is_ok() { &mut ended } else { &mut failed } += 1;
                let _ = seal(&request, Ended::Well);
                let _ = verify(&request.destination, None);
                if step == 0 {
                    std::fs::remove_file(volume.image(&dropped)).unwrap();
                }
            }
        }
        over.store(true, Ordering::Relaxed);
        assert!(planter.join().unwrap() > 100, "next to nothing was planted");
    });
    assert_eq!(fingerprint(&outside), before);
    assert!(ended > 0 && failed > 0, "{ended} copies ended well, {failed} failed: nothing is shown here");
    // An entry swapped in staging may have been published. A link where the image has a directory is refused, and the
    // administrator has to remove it.
    for path in image.iter().filter(|path| volume.image(path).is_dir()) {
        if volume.at(path).is_symlink() {
            std::fs::remove_file(volume.at(path)).unwrap();
        }
    }
    // Without the other writer, the next copy repairs everything.
    volume.options = Options { prune: Prune::All, ..volume.options.clone() };
    volume.options.policy = Policy::Replace;
    // What was missing at the seal counts as the work of a run's steps, which will repeat it.
    let request = Request { steps_follow: true, ..volume.request() };
    copy(&request, &Silent, &CancellationToken::new()).unwrap();
    for path in image.iter().filter(|path| volume.image(path).is_file()) {
        assert_eq!(volume.read(path), std::fs::read_to_string(volume.image(path)).unwrap(), "{path}");
    }
    assert!(verify(&volume.at(""), None).unwrap().is_clean());
    assert_eq!(fingerprint(&outside), before);
}

#[test]
fn a_source_that_changes_meanwhile_is_reported() {
    let mut volume = Volume::new();
    volume.put("steady", "1");
    volume.put("growing", "1");
    let over = AtomicBool::new(false);
    let path = volume.image("growing");
    let (reported, over_ref) = (AtomicBool::new(false), &over);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            use std::io::Write;
            let mut file = std::fs::File::options().append(true).open(path).unwrap();
            while !over_ref.load(Ordering::Relaxed) {
                file.write_all(b"more").unwrap();
            }
        });
        let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while !reported.load(Ordering::Relaxed) && std::time::Instant::now() < end {
            let Err(error) = copy(&volume.request(), &Silent, &CancellationToken::new()) else { continue };
            assert_eq!(error.cause(), Cause::Io, "{error}");
            reported
                .store(error.to_string().contains("growing changed while it was copied"), Ordering::Relaxed);
        }
        over.store(true, Ordering::Relaxed);
    });
    assert!(reported.into_inner());
    assert_eq!(volume.read("steady"), "1");
}
