//! Another writer on the volume: nothing outside the destination is read, written, chmod-ed or removed.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

#[test]
fn a_directory_link_on_the_volume_is_refused_unless_asked_for() {
    let mut volume = Volume::new();
    volume.put("app/file", "1");
    let outside = volume.temp.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    symlink(&outside, volume.at("app")).unwrap();
    let error = copy(&volume.request(), &Silent, &CancellationToken::new()).unwrap_err();
    assert_eq!(error.cause(), Cause::Config);
    assert!(error.to_string().contains("app is a symbolic link"), "{error}");
    assert!(!outside.join("file").exists());
    volume.options.follow_destination_links = true;
    volume.copy();
    assert!(outside.join("file").exists());
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
    // The same content under a planted second name: its mode is not set through that name either.
    std::fs::write(&secret, "image").unwrap();
    std::fs::remove_file(volume.at("hard")).unwrap();
    std::fs::hard_link(&secret, volume.at("hard")).unwrap();
    volume.copy();
    assert_eq!(secret.metadata().unwrap().permissions().mode() & 0o777, 0o600);
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
            // It may fail: a name was swapped under its hands. It may not leave the volume.
            let _ = copy(&volume.request(), &Silent, &CancellationToken::new());
        }
        over.store(true, Ordering::Relaxed);
    });
    let left: Vec<_> = std::fs::read_dir(&outside).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
    assert_eq!(std::fs::read_to_string(outside.join("witness")).unwrap(), "untouched");
    assert_eq!(std::fs::read_dir(outside.join("sub")).unwrap().count(), 0);
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
            let report = copy(&volume.request(), &Silent, &CancellationToken::new()).unwrap();
            reported.store(report.changed_source.items == ["growing"], Ordering::Relaxed);
        }
        over.store(true, Ordering::Relaxed);
    });
    assert!(reported.into_inner());
    assert_eq!(volume.read("steady"), "1");
}
