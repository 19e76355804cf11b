//! A source that is not in memory: its files are asked for ahead, and it is copied as any other.

use std::path::Path;
use std::process::Command;

use crate::needs;
use crate::support::harness::PROGRAM;
use crate::support::tree::{assert_same, file};
use crate::support::volumes::{Mount, done};

/// Copies under strace(1), with handles for at most so many files, and answers how many files were asked for ahead.
#[track_caller]
fn asked_for(source: &Path, volume: &Path, handles: u32) -> usize {
    let trace = volume.with_extension("trace");
    let limited = format!("ulimit -n {handles} && exec \"$@\"");
    done(
        Command::new("sh")
            .args(["-c", &limited, "sh", "strace", "-f", "-qq", "-e", "trace=fadvise64", "-o"])
            .arg(&trace)
            .args([PROGRAM, "copy", "--workers=2"])
            .args([source, volume]),
    );
    let trace = std::fs::read_to_string(trace).unwrap();
    trace.lines().filter(|line| line.contains("POSIX_FADV_WILLNEED")).count()
}

#[test]
fn a_cold_source_is_asked_for_ahead_and_copied_whole() {
    needs!(LoopDevice, Mount, Program("mkfs.ext4"));
    let temp = tempfile::tempdir().unwrap();
    let image = temp.path().join("image");
    // What is mounted anew is not in memory.
    let mut mount = Some(Mount::made("ext4", 64 << 20, "", &image));
    let mut cool = || {
        drop(mount.take());
        mount = Some(Mount::new(&image, "loop", &image.with_extension("image")));
    };
    for dir in 0..20 {
        std::fs::create_dir_all(image.join(format!("d{dir}"))).unwrap();
        for n in 0..20 {
            file(image.join(format!("d{dir}/f{n}")), format!("{dir} {n}").as_bytes(), 0o644);
        }
    }
    std::fs::create_dir(image.join("many")).unwrap();
    for n in 0..1000 {
        file(image.join(format!("many/{n:04}")), &vec![b'x'; n * 7], 0o644);
    }
    std::fs::hard_link(image.join("d1/f1"), image.join("many/0500-too")).unwrap();
    nix::unistd::mkfifo(&image.join("many/0501-fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    file(image.join("many/0502-large"), &b"0123456789".repeat(100_000), 0o644);
    cool();
    let volume = temp.path().join("volume");
    let asked = asked_for(&image, &volume, 1024);
    assert!(asked > 1000, "only {asked} files were asked for");
    assert_same(&image, &volume, true);

    // A volume without a disk: what a disk reads for the volume looks the same. So does what it reads of the program itself, where
    // the machine had no room to keep that in memory.
    let warm = temp.path().join("warm");
    let _memory = Mount::tmpfs(&warm, "size=64m");
    let mut copies = (0..5).map(|number| warm.join(number.to_string()));
    let unasked = copies.find(|copy| asked_for(&image, copy, 1024) == 0);
    let copy = unasked.expect("each of five copies asks for what is in memory");
    assert_same(&image, &copy, true);

    // Another release, compared with the volume before anything is written.
    for n in (0..1000).step_by(3) {
        file(image.join(format!("many/{n:04}")), &vec![b'y'; n * 7], 0o644);
    }
    cool();
    let asked = asked_for(&image, &volume, 1024);
    assert!(asked > 1000, "only {asked} files were asked for");
    assert_same(&image, &volume, true);

    cool();
    let few = temp.path().join("few");
    assert_eq!(asked_for(&image, &few, 96), 0, "there are no handles to spare");
    assert_same(&image, &few, true);
}
