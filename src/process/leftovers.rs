//! Finds processes in /proc that outlive the command and still hold its output pipe, and ends them. Does not know where
//! the pipe leads.

use std::collections::HashMap;
use std::fs;

use super::signals::send;

/// A process that outlived the command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// Its process id.
    pub pid: i32,
    /// Its name, as in /proc/PID/comm (at most 15 bytes).
    pub name: String,
    /// Whether it is still in the command's process group, where a signal to the group reaches it.
    pub in_group: bool,
}

impl std::fmt::Display for Leftover {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.name, self.pid)
    }
}

struct Entry {
    parent: i32,
    group: i32,
    name: String,
}

/// Our descendants that hold one of `pipes` (inode numbers) open, sorted by process id. A member of `group` with
/// unreadable descriptors counts as holding it. A process that left the group and changed its user counts only if
/// nobody else holds it.
pub fn leftovers(group: i32, pipes: &[u64]) -> Vec<Leftover> {
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let table = table();
    let (mut found, mut hidden) = (Vec::new(), Vec::new());
    for (&pid, entry) in table.iter().filter(|&(&pid, _)| pid != own && descends(&table, pid, own)) {
        let in_group = entry.group == group;
        let leftover = || Leftover { pid, name: entry.name.clone(), in_group };
        match holds(pid, pipes) {
            Some(true) => found.push(leftover()),
            None if in_group => found.push(leftover()),
            None => hidden.push(leftover()),
            Some(false) => {}
        }
    }
    if found.is_empty() {
        found = hidden;
    }
    found.sort_by_key(|leftover| leftover.pid);
    found
}

/// Sends `signal` to the command's group and to holders of the pipe that left the group.
pub fn end_leftovers(group: i32, found: &[Leftover], signal: i32) {
    if found.iter().any(|leftover| leftover.in_group) {
        send(-group, signal);
    }
    for leftover in found.iter().filter(|leftover| !leftover.in_group) {
        send(leftover.pid, signal);
    }
}

fn table() -> HashMap<i32, Entry> {
    let Ok(proc) = fs::read_dir("/proc") else { return HashMap::new() };
    proc.flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            Some((pid, parse_stat(&fs::read(entry.path().join("stat")).ok()?)?))
        })
        .collect()
}

/// `proc_pid_stat(5)`: `pid (comm) state ppid pgrp …`. The name may contain blanks and parentheses, so it ends at the
/// last one. Zombies hold nothing.
fn parse_stat(stat: &[u8]) -> Option<Entry> {
    let open = stat.iter().position(|&byte| byte == b'(')?;
    let close = stat.iter().rposition(|&byte| byte == b')')?;
    let rest = std::str::from_utf8(stat.get(close + 1..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    if fields.next()? == "Z" {
        return None;
    }
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    Some(Entry { parent, group, name: String::from_utf8_lossy(stat.get(open + 1..close)?).into_owned() })
}

fn descends(table: &HashMap<i32, Entry>, pid: i32, ancestor: i32) -> bool {
    let mut pid = pid;
    // Bounded: the table is no snapshot, so that parents could form a circle.
    for _ in 0..table.len() {
        match table.get(&pid) {
            Some(entry) if entry.parent == ancestor => return true,
            Some(entry) => pid = entry.parent,
            None => return false,
        }
    }
    false
}

fn holds(pid: i32, pipes: &[u64]) -> Option<bool> {
    let mut readable = false;
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten() {
        let Ok(target) = fs::read_link(entry.path()) else { continue };
        readable = true;
        let inode = target
            .to_str()
            .and_then(|name| name.strip_prefix("pipe:[")?.strip_suffix(']')?.parse::<u64>().ok());
        if inode.is_some_and(|inode| pipes.contains(&inode)) {
            return Some(true);
        }
    }
    readable.then_some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_and_parentheses_is_read_whole() {
        let entry = parse_stat(b"42 (a) b (c)) S 7 42 42 0 -1\n").expect("parses");
        assert_eq!((entry.name.as_str(), entry.parent, entry.group), ("a) b (c)", 7, 42));
    }

    #[test]
    fn a_zombie_is_no_leftover() {
        assert!(parse_stat(b"42 (sh) Z 7 42 42 0 -1\n").is_none());
    }
}
