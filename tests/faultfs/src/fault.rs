//! What can go wrong, on which operation, from when on: the words the client and the daemon share.
//!
//! A rule has one text form, which is also the wire form: `errno EIO after-bytes 1048576 times 2 path NAME`.

use std::fmt;
use std::time::Duration;

/// An operation the kernel asks of the filesystem. `setattr` is split by what it sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
#[allow(missing_docs)] // each is the system call of that name
pub enum Op {
    Lookup,
    Getattr,
    Chmod,
    Chown,
    Truncate,
    Utimens,
    Readlink,
    Mknod,
    Mkdir,
    Unlink,
    Rmdir,
    Symlink,
    Rename,
    Link,
    Open,
    Create,
    Read,
    Write,
    Flush,
    Fsync,
    Opendir,
    Readdir,
    Fsyncdir,
    Statfs,
    Setxattr,
    Getxattr,
    Listxattr,
    Removexattr,
    Lseek,
    Fallocate,
    CopyFileRange,
}

impl Op {
    /// Every operation, in the order of its discriminant.
    pub const ALL: [Op; 31] = [
        Op::Lookup,
        Op::Getattr,
        Op::Chmod,
        Op::Chown,
        Op::Truncate,
        Op::Utimens,
        Op::Readlink,
        Op::Mknod,
        Op::Mkdir,
        Op::Unlink,
        Op::Rmdir,
        Op::Symlink,
        Op::Rename,
        Op::Link,
        Op::Open,
        Op::Create,
        Op::Read,
        Op::Write,
        Op::Flush,
        Op::Fsync,
        Op::Opendir,
        Op::Readdir,
        Op::Fsyncdir,
        Op::Statfs,
        Op::Setxattr,
        Op::Getxattr,
        Op::Listxattr,
        Op::Removexattr,
        Op::Lseek,
        Op::Fallocate,
        Op::CopyFileRange,
    ];

    /// The name used in rules and statistics.
    pub fn name(self) -> &'static str {
        match self {
            Op::Lookup => "lookup",
            Op::Getattr => "getattr",
            Op::Chmod => "chmod",
            Op::Chown => "chown",
            Op::Truncate => "truncate",
            Op::Utimens => "utimens",
            Op::Readlink => "readlink",
            Op::Mknod => "mknod",
            Op::Mkdir => "mkdir",
            Op::Unlink => "unlink",
            Op::Rmdir => "rmdir",
            Op::Symlink => "symlink",
            Op::Rename => "rename",
            Op::Link => "link",
            Op::Open => "open",
            Op::Create => "create",
            Op::Read => "read",
            Op::Write => "write",
            Op::Flush => "flush",
            Op::Fsync => "fsync",
            Op::Opendir => "opendir",
            Op::Readdir => "readdir",
            Op::Fsyncdir => "fsyncdir",
            Op::Statfs => "statfs",
            Op::Setxattr => "setxattr",
            Op::Getxattr => "getxattr",
            Op::Listxattr => "listxattr",
            Op::Removexattr => "removexattr",
            Op::Lseek => "lseek",
            Op::Fallocate => "fallocate",
            Op::CopyFileRange => "copy_file_range",
        }
    }

    /// The operations behind a comma-separated list of names; the groups are `all`, `setattr`, `close` (flush), `metadata`
    /// (what a volume without owners or attributes refuses) and `modify` (what a read-only volume refuses).
    pub fn parse_list(text: &str) -> Result<Vec<Op>, String> {
        let mut ops = Vec::new();
        for name in text.split(',') {
            match name {
                "all" => ops.extend(Op::ALL),
                "setattr" => ops.extend([Op::Chmod, Op::Chown, Op::Truncate, Op::Utimens]),
                "close" => ops.push(Op::Flush),
                "metadata" => ops.extend([Op::Chmod, Op::Chown, Op::Utimens, Op::Setxattr, Op::Removexattr]),
                "modify" => ops.extend([
                    Op::Chmod,
                    Op::Chown,
                    Op::Truncate,
                    Op::Utimens,
                    Op::Mknod,
                    Op::Mkdir,
                    Op::Unlink,
                    Op::Rmdir,
                    Op::Symlink,
                    Op::Rename,
                    Op::Link,
                    Op::Create,
                    Op::Write,
                    Op::Setxattr,
                    Op::Removexattr,
                    Op::Fallocate,
                    Op::CopyFileRange,
                ]),
                _ => ops.push(
                    Op::ALL
                        .into_iter()
                        .find(|op| op.name() == name)
                        .ok_or_else(|| format!("no operation is called {name:?}"))?,
                ),
            }
        }
        Ok(ops)
    }
}

/// What happens to an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails with this errno and does nothing.
    Errno(i32),
    /// It is carried out this much later. Operations delayed at the same time wait at the same time.
    Delay(Duration),
    /// It gets no answer until the fault is cleared; then it is carried out. The caller cannot be killed meanwhile: the
    /// request has left the kernel's queue. For callers that can still be killed, see [`crate::Mount::freeze`].
    Hang,
}

impl Fault {
    /// Spare the first `bytes` written or read (other operations count 0 bytes). A write across the mark is cut short there,
    /// as on a volume that fills up.
    pub fn after_bytes(self, bytes: u64) -> Rule {
        Rule { after_bytes: bytes, ..Rule::from(self) }
    }

    /// Spare the first `ops` operations the rule applies to.
    pub fn after_ops(self, ops: u64) -> Rule {
        Rule { after_ops: ops, ..Rule::from(self) }
    }

    /// Only on operations whose path in the backing directory contains `part`.
    pub fn on_path(self, part: &str) -> Rule {
        Rule::from(self).on_path(part)
    }

    /// Only `times` times.
    pub fn times(self, times: u64) -> Rule {
        Rule::from(self).times(times)
    }
}

/// A fault with the conditions it waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What happens.
    pub fault: Fault,
    /// Bytes to spare first.
    pub after_bytes: u64,
    /// Operations to spare first.
    pub after_ops: u64,
    /// How often it strikes; `None` means always.
    pub times: Option<u64>,
    /// Part of the path it is restricted to.
    pub path: Option<String>,
}

impl Rule {
    /// Only on operations whose path in the backing directory contains `part`.
    #[must_use]
    pub fn on_path(self, part: &str) -> Rule {
        Rule { path: Some(part.to_owned()), ..self }
    }

    /// Only `times` times.
    #[must_use]
    pub fn times(self, times: u64) -> Rule {
        Rule { times: Some(times), ..self }
    }

    /// Reads the text form.
    pub fn parse(text: &str) -> Result<Rule, String> {
        let (head, path) = match text.split_once(" path ") {
            Some((head, path)) => (head, Some(path.to_owned())),
            None => (text, None),
        };
        let mut words = head.split_whitespace();
        let mut word = |what: &str| words.next().ok_or_else(|| format!("{what} is missing"));
        let fault = match word("the fault")? {
            "errno" => Fault::Errno(errno_number(word("the errno")?)?),
            "delay" => Fault::Delay(parse_duration(word("the delay")?)?),
            "hang" => Fault::Hang,
            other => return Err(format!("no fault is called {other:?}; there are errno, delay, hang")),
        };
        let mut rule = Rule { path, ..Rule::from(fault) };
        while let Ok(condition) = word("") {
            let number = word("a number")?.parse::<u64>().map_err(|error| format!("{condition}: {error}"))?;
            match condition {
                "after-bytes" => rule.after_bytes = number,
                "after-ops" => rule.after_ops = number,
                "times" => rule.times = Some(number),
                other => return Err(format!("no condition is called {other:?}")),
            }
        }
        Ok(rule)
    }
}

impl From<Fault> for Rule {
    fn from(fault: Fault) -> Rule {
        Rule { fault, after_bytes: 0, after_ops: 0, times: None, path: None }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fault {
            Fault::Errno(number) => write!(f, "errno {number}")?,
            Fault::Delay(delay) => write!(f, "delay {}us", delay.as_micros())?,
            Fault::Hang => write!(f, "hang")?,
        }
        if self.after_bytes > 0 {
            write!(f, " after-bytes {}", self.after_bytes)?;
        }
        if self.after_ops > 0 {
            write!(f, " after-ops {}", self.after_ops)?;
        }
        if let Some(times) = self.times {
            write!(f, " times {times}")?;
        }
        if let Some(path) = &self.path {
            write!(f, " path {path}")?;
        }
        Ok(())
    }
}

/// A duration with its unit: `500us`, `1ms`, `2s`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let number: u64 = digits.parse().map_err(|_| format!("{text:?} is not a duration such as 1ms"))?;
    match &text[digits.len()..] {
        "us" => Ok(Duration::from_micros(number)),
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        _ => Err(format!("{text:?} needs the unit us, ms or s")),
    }
}

fn errno_number(text: &str) -> Result<i32, String> {
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    let known = [
        ("EACCES", libc::EACCES),
        ("EDQUOT", libc::EDQUOT),
        ("EINTR", libc::EINTR),
        ("EIO", libc::EIO),
        ("EMFILE", libc::EMFILE),
        ("ENOSPC", libc::ENOSPC),
        ("ENOTSUP", libc::ENOTSUP),
        ("EPERM", libc::EPERM),
        ("EROFS", libc::EROFS),
        ("ESTALE", libc::ESTALE),
        ("ETIMEDOUT", libc::ETIMEDOUT),
        ("EXDEV", libc::EXDEV),
    ];
    known
        .into_iter()
        .find(|(name, _)| *name == text)
        .map(|(_, number)| number)
        .ok_or_else(|| format!("errno {text:?} is not known by name; give its number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_form_of_a_rule_reads_back_as_the_rule() {
        let rules = [
            Rule::from(Fault::Hang),
            Fault::Errno(libc::ENOSPC).after_bytes(1 << 20),
            Fault::Delay(Duration::from_millis(1)).after_ops(3).times(2).on_path("a b/c"),
        ];
        for rule in rules {
            assert_eq!(Rule::parse(&rule.to_string()), Ok(rule));
        }
    }

    #[test]
    fn operations_are_listed_in_the_order_of_their_numbers() {
        for (index, op) in Op::ALL.into_iter().enumerate() {
            assert_eq!(op as usize, index);
            assert_eq!(Op::parse_list(op.name()), Ok(vec![op]));
        }
    }

    #[test]
    fn a_misspelt_operation_or_fault_is_refused() {
        assert!(Op::parse_list("write,fsnyc").is_err());
        assert!(Rule::parse("errno EWHAT").is_err());
        assert!(Rule::parse("errno EIO afterwards 3").is_err());
        assert!(Rule::parse("delay 3").is_err());
    }
}
