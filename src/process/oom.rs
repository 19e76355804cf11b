//! How many processes of this container the kernel's OOM killer has ended. The command may survive its own child's death
//! and even exit with 0, so its status does not tell.

use std::fs;

/// None where the kernel does not tell: outside a container, or without cgroups.
pub(super) fn oom_kills() -> Option<u64> {
    let version_2 = own_group().map(|group| format!("/sys/fs/cgroup{group}/memory.events"));
    let files = [
        version_2,
        Some("/sys/fs/cgroup/memory.events".to_owned()),
        Some("/sys/fs/cgroup/memory/`memory.oom_control`".to_owned()),
    ];
    files.into_iter().flatten().find_map(|path| count(&fs::read_to_string(path).ok()?))
}

/// The path of this process' group (cgroups(7), `/proc/PID/cgroup`); seen from within a container it is mostly `/`.
fn own_group() -> Option<String> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    groups.lines().find_map(|line| line.strip_prefix("0::")).map(|path| path.trim_end_matches('/').to_owned())
}

/// The line `oom_kill N` (cgroup v2's `memory.events`; v1's `memory.oom_control` since Linux 4.13).
fn count(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_read_from_both_versions_files() {
        assert_eq!(count("low 0\nhigh 0\nmax 7\noom 3\noom_kill 2\noom_group_kill 0\n"), Some(2));
        assert_eq!(count("oom_kill_disable 0\nunder_oom 0\noom_kill 5\n"), Some(5));
        assert_eq!(count("oom_kill_disable 0\nunder_oom 0\n"), None);
    }
}
