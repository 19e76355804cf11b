//! Sets the description that `--version` prints: commit and date (from the environment, set by release/build and
//! image/binary), target and features. A build without them says so.

fn main() {
    let given = |name: &str| {
        println!("cargo::rerun-if-env-changed={name}");
        std::env::var(name).ok().filter(|text| !text.is_empty()).unwrap_or_else(|| "unknown".to_owned())
    };
    let commit = given("HOOK_RUNNER_COMMIT");
    let date = given("HOOK_RUNNER_DATE");
    let target = std::env::var("TARGET").unwrap_or_default();
    let mut features: Vec<String> = std::env::vars()
        .filter_map(|(name, _)| name.strip_prefix("CARGO_FEATURE_").map(str::to_lowercase))
        .filter(|feature| feature != "default")
        .collect();
    features.sort();
    let features = if features.is_empty() { "none".to_owned() } else { features.join(",") };
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-env=BUILD_DESCRIPTION=commit {commit}, {date}, {target}, features {features}");
}
