//! Reads from a hook's pod where its log is: the claim, the paths on it, and the image with the runner. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, PersistentVolumeClaim, PodSpec, VolumeMount};
use serde_json::Value;

use crate::mount::{Mount, mounts};

/// The default name of the log.
const LOG_NAME: &str = "post-hook-output.txt";
/// The path of the program in hook-runner's own image.
const PROGRAM: &str = "/hook-runner";
/// The annotation in which the library chart puts a hook's steps.
const STEPS: &str = "hook-runner/hook";

/// A hook that keeps a log on a claim.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Hook {
    /// The name of its Job.
    pub name: String,
    pub claim: String,
    /// Paths on the volume, relative to its root.
    pub log: String,
    pub state: Option<String>,
    pub destinations: Vec<String>,
    /// The folder of the volume that the hook mounts.
    pub sub_path: String,
    /// The image with hook-runner, and the program's path in it.
    pub runner: Option<Runner>,
    /// The hook's pod: its user, nodes and image pull secrets.
    pub spec: PodSpec,
}

/// An image that has hook-runner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runner {
    pub image: String,
    pub pull_policy: Option<String>,
    pub program: String,
}

impl Runner {
    pub fn of_image(image: &str) -> Self {
        Self { image: image.to_owned(), pull_policy: None, program: PROGRAM.to_owned() }
    }
}

impl Hook {
    /// Reads a Job's pod; `None` if it keeps no log on a claim.
    pub fn of_pod(name: &str, spec: &PodSpec, annotations: &BTreeMap<String, String>) -> Option<Self> {
        let (container, words) = spec.containers.iter().find_map(|container| {
            let words = runner_words(container)?;
            matches!(words.first(), Some(&("run" | "sidecar"))).then_some((container, words))
        })?;
        let mounts = mounts(spec, container.volume_mounts.as_deref().unwrap_or_default());
        let copied = destinations(container, &words, annotations.get(STEPS).map(String::as_str));
        let log =
            option(container, &words, "log").or_else(|| Some(format!("{}/{LOG_NAME}", copied.first()?)));
        let log = log.or_else(|| Some(mounts.first()?.path.clone()))?;
        let (mount, log) = on_volume(&mounts, &log)?;
        let same_claim =
            |path: &String| on_volume(&mounts, path).filter(|(other, _)| other.claim == mount.claim);
        Some(Self {
            name: name.to_owned(),
            claim: mount.claim.clone(),
            log,
            state: option(container, &words, "state").as_ref().and_then(same_claim).map(|(_, path)| path),
            destinations: copied.iter().filter_map(same_claim).map(|(_, path)| path).collect(),
            sub_path: mount.sub_path.clone(),
            runner: runner(spec, container),
            spec: spec.clone(),
        })
    }

    /// Reads what the library chart notes on the claim, for users who may read neither the Job nor Helm's Secret.
    pub fn of_claim(claim: &PersistentVolumeClaim) -> Option<Self> {
        let noted = |key: &str| claim.metadata.annotations.as_ref()?.get(key).cloned();
        let name = claim.metadata.name.clone()?;
        Some(Self {
            name: name.clone(),
            claim: name,
            log: noted("hook-runner/log").unwrap_or_default(),
            runner: noted("hook-runner/image").as_deref().map(Runner::of_image),
            ..Self::default()
        })
    }
}

/// The mount that contains the path, and the path on its volume; of nested mounts the inner one.
fn on_volume<'a>(mounts: &'a [Mount], path: &str) -> Option<(&'a Mount, String)> {
    let found = mounts.iter().filter_map(|mount| Some((mount, mount.on_volume(path)?)));
    found.max_by_key(|(mount, _)| mount.path.trim_end_matches('/').len())
}

/// The runner's arguments, if the container runs it as its command or through its image's entry point. What follows
/// `--` is the hook's own command.
fn runner_words(container: &Container) -> Option<Vec<&str>> {
    let all =
        || container.command.iter().flatten().chain(container.args.iter().flatten()).map(String::as_str);
    let before = match all().position(is_program) {
        Some(at) => at + 1,
        None if container.command.is_none() => 0,
        None => return None,
    };
    Some(all().skip(before).take_while(|word| *word != "--").collect())
}

fn is_program(word: &str) -> bool {
    word.rsplit('/').next() == Some("hook-runner")
}

/// An option's value, from the command line or the environment.
fn option(container: &Container, words: &[&str], name: &str) -> Option<String> {
    options(container, words, name).pop()
}

fn options(container: &Container, words: &[&str], name: &str) -> Vec<String> {
    let flag = format!("--{name}");
    let mut values: Vec<String> = Vec::new();
    for (at, word) in words.iter().enumerate() {
        if *word == flag {
            values.extend(words.get(at + 1).map(|&value| value.to_owned()));
        } else if let Some(value) = word.strip_prefix(&flag).and_then(|rest| rest.strip_prefix('=')) {
            values.push(value.to_owned());
        }
    }
    if values.is_empty() {
        let variable = format!("HOOK_RUNNER_{}", name.to_uppercase());
        let set = container.env.iter().flatten().find(|one| one.name == variable);
        values.extend(
            set.and_then(|one| one.value.as_deref()).into_iter().flat_map(str::lines).map(str::to_owned),
        );
    }
    values
}

/// The destinations of the hook's copies, in the container.
fn destinations(container: &Container, words: &[&str], steps: Option<&str>) -> Vec<String> {
    let pairs = options(container, words, "copy");
    let of_options =
        pairs.iter().filter_map(|pair| Some(pair.rsplit_once(":/")?.1)).map(|path| format!("/{path}"));
    let file: Value = steps.and_then(|text| serde_saphyr::from_str(text).ok()).unwrap_or_default();
    let of_steps =
        file["steps"].as_array().into_iter().flatten().filter_map(|step| step["copy"]["to"].as_str());
    of_options.chain(of_steps.map(str::to_owned)).collect()
}

/// The image with the runner: the container's own, one that is mounted into it, or one that installs it.
fn runner(spec: &PodSpec, hook: &Container) -> Option<Runner> {
    let of = |container: &Container, program: &str| {
        Some(Runner {
            image: container.image.clone()?,
            pull_policy: container.image_pull_policy.clone(),
            program: program.to_owned(),
        })
    };
    let Some(program) = hook.command.iter().flatten().find(|word| is_program(word.as_str())) else {
        return of(hook, PROGRAM);
    };
    let Some(mount) = mount_of(hook, program) else { return of(hook, program) };
    let volume = spec.volumes.iter().flatten().find(|volume| volume.name == mount.name)?;
    if let Some(image) = &volume.image {
        let pull_policy = image.pull_policy.clone();
        return Some(Runner { pull_policy, ..Runner::of_image(image.reference.as_deref()?) });
    }
    let installer = spec.init_containers.iter().flatten().find(|one| {
        runner_words(one).is_some_and(|words| words.first() == Some(&"install"))
            && one.volume_mounts.iter().flatten().any(|other| other.name == mount.name)
    })?;
    let program = installer.command.iter().flatten().find(|word| is_program(word.as_str()));
    of(installer, program.map_or(PROGRAM, String::as_str))
}

fn mount_of<'a>(container: &'a Container, path: &str) -> Option<&'a VolumeMount> {
    container.volume_mounts.iter().flatten().find(|mount| {
        path.strip_prefix(mount.mount_path.trim_end_matches('/')).is_some_and(|rest| rest.starts_with('/'))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::{Hook, Runner};

    /// A pod as the library chart renders it, its container changed by `change`.
    fn pod(change: Value) -> Value {
        let mut pod = json!({
            "initContainers": [{
                "name": "hook-runner-install", "image": "runner:1", "args": ["install", "/runner"],
                "volumeMounts": [{"name": "hook-runner", "mountPath": "/runner"}]
            }],
            "containers": [{
                "name": "hook", "image": "shop:1",
                "command": ["/runner/hook-runner", "run", "--copy=/app:/data", "--log=/data/hook-logs/a.txt", "--", "sh", "--log=/no"],
                "volumeMounts": [{"name": "content", "mountPath": "/data"}, {"name": "hook-runner", "mountPath": "/runner"}]
            }],
            "volumes": [
                {"name": "content", "persistentVolumeClaim": {"claimName": "data"}},
                {"name": "hook-runner", "emptyDir": {}}
            ]
        });
        let container = pod["containers"][0].as_object_mut().expect("a container");
        for (key, value) in change.as_object().expect("changes") {
            container.insert(key.clone(), value.clone());
        }
        pod
    }

    fn hook(pod: &Value, steps: &str) -> Option<Hook> {
        let spec = serde_json::from_value(pod.clone()).expect("a pod's spec");
        let annotations = BTreeMap::from([("hook-runner/hook".to_owned(), steps.to_owned())]);
        Hook::of_pod("a", &spec, &annotations)
    }

    #[test]
    fn a_hooks_log_is_found_in_what_its_pod_says() {
        let folder = json!([{"name": "content", "mountPath": "/data", "subPath": "shop"}, {"name": "hook-runner", "mountPath": "/runner"}]);
        // what is changed; then the log and the destinations
        let table: [(&str, Value, &str, &[&str]); 8] = [
            ("the chart's", json!({}), "hook-logs/a.txt", &[""]),
            ("two words", json!({"command": ["/hook-runner", "run", "--log", "/data/b.txt"]}), "b.txt", &[]),
            (
                "by variable",
                json!({"command": ["/hook-runner", "run"], "env": [{"name": "HOOK_RUNNER_LOG", "value": "/data/c.txt"}]}),
                "c.txt",
                &[],
            ),
            (
                "by default",
                json!({"command": ["/hook-runner", "run", "--copy=/app:/data/www"]}),
                "www/post-hook-output.txt",
                &["www"],
            ),
            ("by a folder", json!({"volumeMounts": folder}), "shop/hook-logs/a.txt", &["shop"]),
            (
                "sidecar",
                json!({"command": null, "args": ["sidecar", "--container=x", "--log=/data/d.txt"]}),
                "d.txt",
                &[],
            ),
            (
                "under an init",
                json!({"command": ["tini", "--", "/hook-runner", "run", "--log=/data/e.txt"]}),
                "e.txt",
                &[],
            ),
            ("no run", json!({"command": ["tini", "--", "/hook-runner"]}), "none", &[]),
        ];
        for (what, change, log, destinations) in table {
            let found = hook(&pod(change), "");
            if log == "none" {
                assert_eq!(found, None, "{what}");
                continue;
            }
            let found = found.unwrap_or_else(|| panic!("{what}: no hook"));
            assert_eq!((found.claim.as_str(), found.log.as_str()), ("data", log), "{what}");
            assert_eq!(found.destinations, destinations, "{what}");
        }
        let steps = "steps: [{copy: {from: /app, to: /data/x}}, {exec: [sh]}]";
        let command = json!({"command": ["/runner/hook-runner", "run", "--hook=/config/hook.yaml", "--log=/data/a.txt"]});
        assert_eq!(hook(&pod(command), steps).expect("a hook").destinations, ["x"]);
    }

    #[test]
    fn a_hook_without_a_log_on_a_claim_is_none() {
        for log in ["none", "/tmp/a.txt"] {
            let change = json!({"command": ["/hook-runner", "run", "--log", log]});
            assert_eq!(hook(&pod(change), ""), None, "{log}");
        }
        assert_eq!(hook(&pod(json!({"command": ["sh", "-c", "true"]})), ""), None);
    }

    #[test]
    fn the_image_of_the_runner_is_the_one_that_brings_it() {
        let runner = |image: &str, program: &str| {
            Some(Runner { image: image.into(), pull_policy: None, program: program.into() })
        };
        assert_eq!(hook(&pod(json!({})), "").expect("a hook").runner, runner("runner:1", "/hook-runner"));
        let own = json!({"command": ["/usr/bin/hook-runner", "run", "--log=/data/a.txt"]});
        assert_eq!(hook(&pod(own), "").expect("a hook").runner, runner("shop:1", "/usr/bin/hook-runner"));
        let mut mounted = pod(json!({}));
        mounted["volumes"][1] = json!({"name": "hook-runner", "image": {"reference": "runner:2"}});
        assert_eq!(hook(&mounted, "").expect("a hook").runner, runner("runner:2", "/hook-runner"));
        let mut unknown = pod(json!({}));
        unknown["initContainers"] = json!([]);
        assert_eq!(hook(&unknown, "").expect("a hook").runner, None);
    }
}
