//! Reads hooks from Helm's record of a release, as they were rendered, even if their Jobs are gone. Pure.
//!
//! A Secret sh.helm.release.v1.NAME.vN holds base64(gzip(JSON)) (helm.sh/helm: pkg/storage/driver/util.go).

use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use crate::hook::Hook;

/// The API server accepts no object above 3 MiB; more than this after unpacking is no release.
const LARGEST: u64 = 256 << 20;

/// The hooks with a log in a release's Secret; `None` if it cannot be read.
pub fn hooks(data: &[u8]) -> Option<Vec<Hook>> {
    let packed = STANDARD.decode(data).ok()?;
    let text = if packed.starts_with(&[0x1f, 0x8b]) {
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(packed.as_slice()).take(LARGEST).read_to_end(&mut text).ok()?;
        text
    } else {
        packed
    };
    let release: Value = serde_json::from_slice(&text).ok()?;
    let manifests =
        release["hooks"].as_array().into_iter().flatten().filter_map(|hook| hook["manifest"].as_str());
    Some(manifests.filter_map(hook).collect())
}

fn hook(manifest: &str) -> Option<Hook> {
    let object: Value = serde_saphyr::from_str(manifest).ok()?;
    match object["kind"].as_str()? {
        "Job" => of_job(&serde_json::from_value(object).ok()?),
        "Pod" => {
            let pod: Pod = serde_json::from_value(object).ok()?;
            of_pod(&pod.metadata, pod.spec.as_ref()?, &pod.metadata)
        }
        _ => None,
    }
}

/// The hook of a Job.
pub fn of_job(job: &Job) -> Option<Hook> {
    let template = &job.spec.as_ref()?.template;
    of_pod(&job.metadata, template.spec.as_ref()?, &template.metadata.clone().unwrap_or_default())
}

fn of_pod(hook: &ObjectMeta, spec: &PodSpec, pod: &ObjectMeta) -> Option<Hook> {
    let name = hook.name.as_deref().or(hook.generate_name.as_deref())?;
    Hook::of_pod(name, spec, &pod.annotations.clone().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::json;

    use super::hooks;

    const JOB: &str = "
# Source: shop/templates/hook.yaml
apiVersion: batch/v1
kind: Job
metadata: {name: shop-post-task}
spec:
  template:
    spec:
      containers:
        - name: hook
          image: shop:1
          command: [/hook-runner, run, --log=/data/a.txt]
          volumeMounts: [{name: content, mountPath: /data}]
      volumes: [{name: content, persistentVolumeClaim: {claimName: data}}]
";

    #[test]
    fn the_hooks_of_a_release_are_read_as_helm_packs_it() {
        let pod = "{kind: Pod, metadata: {generateName: p-}, spec: {containers: [{name: x, args: [run, --log=/d/a], volumeMounts: [{name: v, mountPath: /d}]}], volumes: [{name: v, persistentVolumeClaim: {claimName: other}}]}}";
        let manifests = [JOB, pod, "kind: Pod\nmetadata: {name: test}\n", "not: [yaml", ""];
        let hooks_of: Vec<_> = manifests.iter().map(|text| json!({"manifest": text})).collect();
        let text = json!({"name": "shop", "hooks": hooks_of}).to_string();
        let mut zip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        zip.write_all(text.as_bytes()).expect("packed");
        for packed in [zip.finish().expect("packed"), text.into_bytes()] {
            let found = hooks(STANDARD.encode(packed).as_bytes()).expect("a release");
            let found: Vec<_> = found.iter().map(|hook| (hook.name.as_str(), hook.claim.as_str())).collect();
            assert_eq!(found, [("shop-post-task", "data"), ("p-", "other")]);
        }
    }

    #[test]
    fn what_is_no_release_is_told_from_one_without_hooks() {
        assert_eq!(hooks(b"no base64!"), None);
        assert_eq!(hooks(STANDARD.encode([0x1f, 0x8b, 8, 0]).as_bytes()), None);
        assert_eq!(hooks(STANDARD.encode("{}").as_bytes()), Some(Vec::new()));
    }
}
