//! Changes to permission bits as chmod(1) takes them: octal (`0644`) or symbolic clauses (`u=rwX,go=u-w,a-x+X`),
//! applied to the image's mode. A clause without a class means all classes; the umask plays no part.

use std::fmt;
use std::str::FromStr;

/// A change to permission bits. An octal mode is set as it is on files. Directories also get execute where there is
/// read, and keep their set-ID bits (chmod(1): fewer than five digits never clear those).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModeChange {
    text: String,
    change: Change,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Change {
    Octal(u32),
    Clauses(Vec<Clause>),
}

/// Operations on the bits of some classes, applied in order.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Clause {
    classes: Vec<Class>,
    operations: Vec<(Operator, Permissions)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    User,
    Group,
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Add,
    Remove,
    Set,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Permissions {
    /// Read, write and execute as an octal digit; the set-ID and sticky bits; execute only where any class has it
    /// already (`X`).
    Named { rwx: u32, set_id: bool, sticky: bool, execute_if_any: bool },
    /// The bits that another class has.
    Of(Class),
}

const ALL: [Class; 3] = [Class::User, Class::Group, Class::Other];

impl Class {
    fn shift(self) -> u32 {
        match self {
            Self::User => 6,
            Self::Group => 3,
            Self::Other => 0,
        }
    }

    fn set_id(self) -> u32 {
        match self {
            Self::User => 0o4000,
            Self::Group => 0o2000,
            Self::Other => 0,
        }
    }

    fn parse(letter: char) -> Option<Self> {
        Some(match letter {
            'u' => Self::User,
            'g' => Self::Group,
            'o' => Self::Other,
            _ => return None,
        })
    }
}

impl ModeChange {
    /// The mode (`st_mode & 0o7777`) after the change.
    pub fn apply(&self, mode: u32, is_dir: bool) -> u32 {
        match &self.change {
            Change::Octal(bits) if is_dir => {
                let stays = if self.text.len() < 5 { mode & 0o6000 } else { 0 };
                stays | bits | (bits & 0o444) >> 2
            }
            Change::Octal(bits) => *bits,
            Change::Clauses(clauses) => clauses.iter().fold(mode, |mode, clause| clause.apply(mode, is_dir)),
        }
    }
}

impl Clause {
    fn apply(&self, mode: u32, is_dir: bool) -> u32 {
        self.operations.iter().fold(mode, |mode, (operator, permissions)| {
            let bits = permissions.bits(&self.classes, mode, is_dir);
            match operator {
                Operator::Add => mode | bits,
                Operator::Remove => mode & !bits,
                Operator::Set => mode & !self.reach(is_dir) | bits,
            }
        })
    }

    /// The bits that `=` clears first. As GNU chmod does, it keeps a directory's set-ID bits unless they are named.
    fn reach(&self, is_dir: bool) -> u32 {
        let one = |class: &Class| 0o7 << class.shift() | if is_dir { 0 } else { class.set_id() };
        let bits = self.classes.iter().map(one).fold(0, |all, bits| all | bits);
        if self.classes.contains(&Class::Other) { bits | 0o1000 } else { bits }
    }
}

impl Permissions {
    fn bits(self, classes: &[Class], mode: u32, is_dir: bool) -> u32 {
        match self {
            Self::Of(class) => {
                let rwx = mode >> class.shift() & 0o7;
                classes.iter().fold(0, |all, class| all | rwx << class.shift())
            }
            Self::Named { rwx, set_id, sticky, execute_if_any } => {
                let execute = u32::from(execute_if_any && (is_dir || mode & 0o111 != 0));
                let one = |class: &Class| {
                    (rwx | execute) << class.shift() | if set_id { class.set_id() } else { 0 }
                };
                let bits = classes.iter().map(one).fold(0, |all, bits| all | bits);
                if sticky && classes.contains(&Class::Other) { bits | 0o1000 } else { bits }
            }
        }
    }
}

impl FromStr for ModeChange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let change = if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777).map(Change::Octal)
        } else {
            text.split(',').map(clause).collect::<Option<Vec<_>>>().map(Change::Clauses)
        };
        change.map(|change| Self { text: text.to_owned(), change }).ok_or_else(|| {
            format!("'{text}' is not a mode: write it octal (0644) or as chmod does (u=rwX,go-w)")
        })
    }
}

fn clause(text: &str) -> Option<Clause> {
    let at = text.find(['+', '-', '='])?;
    let (who, mut rest) = text.split_at(at);
    let mut classes = Vec::new();
    for letter in who.chars() {
        match letter {
            'a' => classes.extend(ALL),
            letter => classes.push(Class::parse(letter)?),
        }
    }
    if classes.is_empty() {
        classes.extend(ALL);
    }
    let mut operations = Vec::new();
    while !rest.is_empty() {
        let (operator, after) = rest.split_at(1);
        let end = after.find(['+', '-', '=']).unwrap_or(after.len());
        let (permissions, next) = after.split_at(end);
        let operator = match operator {
            "+" => Operator::Add,
            "-" => Operator::Remove,
            _ => Operator::Set,
        };
        operations.push((operator, permissions_of(permissions)?));
        rest = next;
    }
    Some(Clause { classes, operations })
}

fn permissions_of(text: &str) -> Option<Permissions> {
    let mut letters = text.chars();
    if let (Some(letter), None) = (letters.next(), letters.next())
        && let Some(class) = Class::parse(letter)
    {
        return Some(Permissions::Of(class));
    }
    let (mut rwx, mut set_id, mut sticky, mut execute_if_any) = (0, false, false, false);
    for letter in text.chars() {
        match letter {
            'r' => rwx |= 4,
            'w' => rwx |= 2,
            'x' => rwx |= 1,
            's' => set_id = true,
            't' => sticky = true,
            'X' => execute_if_any = true,
            _ => return None,
        }
    }
    Some(Permissions::Named { rwx, set_id, sticky, execute_if_any })
}

impl fmt::Display for ModeChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn symbolic_modes_change_as_chmod_changes_them() {
        let temp = tempfile::tempdir().unwrap();
        let changes = [
            "go-w",
            "u=rwX,go=rX",
            "+X",
            "g+s",
            "u=rw",
            "+t",
            "a-x+X",
            "go=u",
            "o=g-w",
            "u+s,g-s",
            "o=",
            "g=o+w",
            "ug=rwx,o=rx",
            "u-s",
            "a=r",
            "=rwx",
            "o+t",
            "g+u",
            "u=g",
            "ugo=s",
        ];
        for is_dir in [false, true] {
            for before in [0o640, 0o755, 0o4755, 0o2750, 0o1777, 0o600, 0o2000, 0o777] {
                for change in changes {
                    let path = temp.path().join("entry");
                    if is_dir { std::fs::create_dir(&path) } else { std::fs::write(&path, "") }.unwrap();
                    std::fs::set_permissions(&path, PermissionsExt::from_mode(before)).unwrap();
                    // `ModeChange` knows no umask.
                    let chmod = format!("umask 0; chmod -- '{change}' entry");
                    let status = std::process::Command::new("sh")
                        .args(["-c", &chmod])
                        .current_dir(temp.path())
                        .status()
                        .unwrap();
                    assert!(status.success(), "{change}");
                    let after = path.metadata().unwrap().permissions().mode() & 0o7777;
                    let ours = change.parse::<ModeChange>().unwrap().apply(before, is_dir);
                    assert_eq!(
                        ours, after,
                        "{change} of {before:o}, directory: {is_dir}; {ours:o} is not {after:o}"
                    );
                    if is_dir { std::fs::remove_dir(&path) } else { std::fs::remove_file(&path) }.unwrap();
                }
            }
        }
    }

    #[test]
    fn an_octal_mode_is_set_and_directories_gain_execute_where_they_have_read() {
        for (change, is_dir, after) in
            [("0640", false, 0o640), ("0640", true, 0o4750), ("2775", true, 0o6775), ("02775", true, 0o2775)]
        {
            assert_eq!(change.parse::<ModeChange>().unwrap().apply(0o4711, is_dir), after);
        }
    }

    #[test]
    fn what_is_no_mode_is_refused() {
        for text in ["", "8", "77777", "u", "u+q", "z+r", "u=ug", "+r,", "u=r w"] {
            assert!(text.parse::<ModeChange>().is_err(), "{text}");
        }
    }
}
