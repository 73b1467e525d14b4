//! What the manifests ask for, as Cargo understands them: `cargo metadata`.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

/// The members of the workspace.
pub(crate) fn members() -> Value {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["metadata", "--format-version=1", "--no-deps", "--offline", "--manifest-path"]);
    let out = cargo.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).output().expect("cargo runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).expect("JSON")
}

/// The features of `of` that `package` is built with: those that its manifest asks for, and those of the members that
/// it depends on, all features of these taken.
pub(crate) fn features(members: &Value, package: &str, of: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut next = vec![package];
    while let Some(name) = next.pop() {
        let Some(member) = list(&members["packages"]).find(|member| member["name"] == name) else { continue };
        if !seen.insert(name) {
            continue;
        }
        // What tests depend on is not linked.
        for dependency in list(&member["dependencies"]).filter(|dependency| dependency["kind"] != "dev") {
            let Some(name) = dependency["name"].as_str() else { continue };
            if name == of {
                found.extend(list(&dependency["features"]).filter_map(Value::as_str).map(str::to_owned));
                let alias = dependency["rename"].as_str().unwrap_or(name);
                let asked = member["features"].as_object().into_iter().flat_map(|features| features.values());
                let asked = asked.flat_map(list).filter_map(Value::as_str).filter_map(|one| one.split_once('/'));
                found.extend(asked.filter(|(of, _)| of.trim_end_matches('?') == alias).map(|(_, one)| one.to_owned()));
            }
            next.push(name);
        }
    }
    found
}

/// The features that `package` has without anybody asking for them.
pub(crate) fn default_features(members: &Value, package: &str) -> BTreeSet<String> {
    let package = list(&members["packages"]).filter(|member| member["name"] == package);
    package.flat_map(|member| list(&member["features"]["default"])).map(Value::to_string).collect()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
