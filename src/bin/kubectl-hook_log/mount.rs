//! Paths on a volume and in a container that mounts it. Pure.

use k8s_openapi::api::core::v1::{PodSpec, VolumeMount};

/// A claim as mounted in one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    pub claim: String,
    /// The mount point in the container.
    pub path: String,
    /// The folder of the volume that is mounted; empty for the whole volume.
    pub sub_path: String,
}

impl Mount {
    /// The path on the volume, relative to its root, of `path` in the container.
    pub fn on_volume(&self, path: &str) -> Option<String> {
        let rest = below(path, &self.path)?;
        Some(join(&self.sub_path, rest))
    }

    /// The path in the container of `path` on the volume.
    pub fn in_container(&self, path: &str) -> Option<String> {
        let rest = below(path, &self.sub_path)?;
        Some(join(self.path.trim_end_matches('/'), rest))
    }
}

/// The claims that a container mounts.
pub fn mounts(spec: &PodSpec, container: &[VolumeMount]) -> Vec<Mount> {
    let claim = |volume: &str| {
        let volume = spec.volumes.iter().flatten().find(|one| one.name == volume)?;
        Some(volume.persistent_volume_claim.as_ref()?.claim_name.clone())
    };
    let mount = |mount: &VolumeMount| {
        Some(Mount {
            claim: claim(&mount.name)?,
            path: mount.mount_path.clone(),
            sub_path: mount.sub_path.as_deref().unwrap_or_default().trim_matches('/').to_owned(),
        })
    };
    container.iter().filter_map(mount).collect()
}

/// The part of `path` below `folder`; empty for the folder itself.
fn below<'a>(path: &'a str, folder: &str) -> Option<&'a str> {
    let rest = path.trim_end_matches('/').strip_prefix(folder.trim_end_matches('/'))?;
    if folder.is_empty() || rest.is_empty() {
        Some(rest.trim_start_matches('/'))
    } else {
        rest.strip_prefix('/')
    }
}

fn join(folder: &str, rest: &str) -> String {
    match (folder.is_empty(), rest.is_empty()) {
        (true, _) => rest.to_owned(),
        (_, true) => folder.to_owned(),
        _ => format!("{folder}/{rest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::Mount;

    #[test]
    fn a_path_is_the_same_file_through_every_mount() {
        let mount = |path: &str, sub_path: &str| Mount {
            claim: "data".into(),
            path: path.into(),
            sub_path: sub_path.into(),
        };
        // mount, its subPath, a path in the container, on the volume
        let table = [
            ("/data", "", "/data/hook-logs/a.txt", Some("hook-logs/a.txt")),
            ("/data/", "", "/data", Some("")),
            ("/data", "shop", "/data/a.txt", Some("shop/a.txt")),
            ("/data", "shop", "/data", Some("shop")),
            ("/data", "", "/database/a.txt", None),
            ("/data", "", "/a.txt", None),
        ];
        for (path, sub_path, inside, on_volume) in table {
            let mount = mount(path, sub_path);
            assert_eq!(mount.on_volume(inside).as_deref(), on_volume, "{inside} through {mount:?}");
            if let Some(on_volume) = on_volume {
                assert_eq!(mount.in_container(on_volume).as_deref(), Some(inside), "{on_volume}");
            }
        }
        assert_eq!(mount("/app", "other").in_container("shop/a.txt"), None);
        assert_eq!(mount("/app", "shop").in_container("shopping/a.txt"), None);
    }
}
