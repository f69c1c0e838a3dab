//! Dependencies follow the policy of `deny.toml`, checked with cargo's own metadata, and no crate of the workspace is unsafe.

use std::fs;
use std::process::Command;

use serde_json::Value;

use super::root;

/// All quoted words of one table of `deny.toml`, comments left out.
fn quoted(table: &str) -> Vec<String> {
    let policy = fs::read_to_string(root().join("deny.toml")).expect("deny.toml");
    let body = policy.split(&format!("\n[{table}]\n")).nth(1).expect("a table of deny.toml");
    let body = body.split("\n[").next().unwrap_or_default();
    let code = body.lines().map(|line| line.split('#').next().unwrap_or_default());
    code.flat_map(|line| line.split('"').skip(1).step_by(2)).map(str::to_owned).collect()
}

fn packages() -> Vec<Value> {
    packages_of(".")
}

/// Returns the packages of the workspace in a folder. Fails if its lock file would change.
fn packages_of(folder: &str) -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--all-features", "--locked"])
        .current_dir(root().join(folder))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    metadata["packages"].as_array().expect("packages").clone()
}

#[test]
fn no_dependency_is_banned() {
    let banned = quoted("bans");
    assert!(banned.contains(&"tokio".to_owned()) && banned.contains(&"openssl".to_owned()), "{banned:?}");
    for package in packages() {
        let name = package["name"].as_str().expect("a name");
        assert!(!banned.iter().any(|banned| banned == name), "{name} is banned by deny.toml");
    }
}

#[test]
fn every_licence_is_allowed() {
    // Exceptions name their crate and its licence.
    let allowed = quoted("licenses");
    for package in packages().iter().filter(|package| !package["source"].is_null()) {
        let licence =
            package["license"].as_str().unwrap_or_default().replace(['(', ')'], "").replace('/', " OR ");
        let is_allowed = |name: &str| allowed.iter().any(|allowed| allowed == name.trim());
        let holds = licence.split(" AND ").all(|part| part.split(" OR ").any(is_allowed));
        assert!(holds, "{}: {licence} is not allowed by deny.toml", package["name"]);
    }
}

#[test]
fn every_dependency_comes_from_the_registry() {
    let registries = quoted("sources");
    for package in packages() {
        let Some(source) = package["source"].as_str() else { continue };
        let known =
            source.strip_prefix("registry+").is_some_and(|url| registries.iter().any(|known| known == url));
        assert!(known, "{} comes from {source}", package["name"]);
    }
}

#[test]
fn every_crate_of_the_workspace_forbids_unsafe_code() {
    let workspace = fs::read_to_string(root().join("Cargo.toml")).expect("Cargo.toml");
    let lints = workspace.split("[workspace.lints.rust]").nth(1).expect("the workspace's lints");
    assert!(lints.split("\n[").next().unwrap_or_default().contains("unsafe_code = \"forbid\""));
    let ours = packages().into_iter().filter(|package| package["source"].is_null());
    let manifests: Vec<String> =
        ours.filter_map(|package| package["manifest_path"].as_str().map(str::to_owned)).collect();
    assert!(manifests.len() > 4, "{manifests:?}");
    for path in manifests {
        let manifest = fs::read_to_string(&path).expect("a manifest");
        assert!(manifest.contains("[lints]\nworkspace = true"), "{path} does not inherit the lints");
    }
    let fuzz = fs::read_to_string(root().join("fuzz/Cargo.toml")).expect("fuzz/Cargo.toml");
    assert!(fuzz.contains("[lints.rust]\nunsafe_code = \"forbid\""), "fuzz/Cargo.toml allows unsafe code");
}

#[test]
fn every_test_named_as_proof_exists() {
    let promises = fs::read_to_string(root().join("SECURITY.md")).expect("SECURITY.md");
    let proofs: Vec<&str> = promises
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|name| name.starts_with("tests/") || name.starts_with("fuzz/"))
        .collect();
    assert!(proofs.len() > 5, "{proofs:?}");
    for proof in proofs {
        assert!(root().join(proof).exists(), "SECURITY.md names {proof}, which does not exist");
    }
}

#[test]
fn the_lock_file_of_the_fuzz_targets_is_complete() {
    let packages = packages_of("fuzz");
    assert!(packages.iter().any(|package| package["name"] == "libfuzzer-sys"), "{packages:?}");
}
