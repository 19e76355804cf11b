//! Normalizes a path that need not exist yet, so that two paths can be compared.

use std::path::{Component, Path, PathBuf};

/// The path with its symbolic links resolved, as far as it exists.
pub fn real(path: &Path) -> PathBuf {
    let Ok(absolute) = std::path::absolute(path) else { return path.to_path_buf() };
    for above in absolute.ancestors() {
        if let (Ok(real), Ok(rest)) = (above.canonicalize(), absolute.strip_prefix(above)) {
            return rest.components().fold(real, |path, part| match part {
                Component::ParentDir => path.parent().map(Path::to_path_buf).unwrap_or(path),
                part => path.join(part),
            });
        }
    }
    absolute
}
