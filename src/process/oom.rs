//! Counts the processes of this container that the kernel's OOM killer has ended. A command may survive the death of
//! its child and even exit with 0, so its status does not tell.

use std::fs;

/// `None` where the kernel does not tell: outside a container, or without cgroups.
pub(super) fn oom_kills() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    // Within a container the group is usually `/`; otherwise the container's own group is mounted at the root.
    let version_2 = group(&groups, "").into_iter().chain([""]);
    let version_2 = version_2.map(|group| format!("/sys/fs/cgroup{group}/memory.events"));
    let version_1 = group(&groups, "memory").into_iter().chain([""]);
    let version_1 = version_1.map(|group| format!("/sys/fs/cgroup/memory{group}/memory.oom_control"));
    version_2.chain(version_1).find_map(|path| count(&fs::read_to_string(path).ok()?))
}

/// The path of this process's group (cgroups(7), `/proc/PID/cgroup`): each line has a number, controllers, and the
/// path.
fn group<'a>(groups: &'a str, controller: &str) -> Option<&'a str> {
    let fields = groups.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
    let mut found = fields.filter(|(controllers, _)| controllers.split(',').any(|name| name == controller));
    found.next().map(|(_, path)| path.trim_end_matches('/'))
}

/// Parses the line `oom_kill N` (cgroup v2's `memory.events`; v1's `memory.oom_control` since Linux 4.13).
fn count(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_is_found_in_both_versions_lines() {
        let groups = "12:cpuset:/\n9:cpu,memory:/pod/one\n0::/two/\n";
        assert_eq!((group(groups, "memory"), group(groups, "")), (Some("/pod/one"), Some("/two")));
        assert_eq!(group("0::/\n", ""), Some(""));
    }

    #[test]
    fn the_count_is_read_from_both_versions_files() {
        assert_eq!(count("low 0\nhigh 0\nmax 7\noom 3\noom_kill 2\noom_group_kill 0\n"), Some(2));
        assert_eq!(count("oom_kill_disable 0\nunder_oom 0\noom_kill 5\n"), Some(5));
        assert_eq!(count("oom_kill_disable 0\nunder_oom 0\n"), None);
    }
}
