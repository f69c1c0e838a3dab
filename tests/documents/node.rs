//! The npm package: its examples need no newer Node.js than `engines` says, and no flags.

use serde_json::Value as Json;

use super::{documents, text};

/// A version of Node.js: major and minor.
type Version = (u32, u32);

/// Text of an example, and the first version of Node.js that has it without a flag.
const FEATURES: [(&str, Version); 2] = [("new WebSocket(", (22, 0)), ("with { type: 'json' }", (20, 10))];

fn version(text: &str) -> Version {
    let mut numbers = text.split('.').map(|number| number.parse().expect("a number"));
    (numbers.next().expect("a version"), numbers.next().unwrap_or_default())
}

#[test]
fn the_examples_run_on_the_oldest_node_of_engines() {
    let package: Json = serde_json::from_str(&text("web/package.json")).expect("JSON");
    let engines =
        package["engines"]["node"].as_str().and_then(|node| node.strip_prefix(">=")).expect("a minimum");
    let readme = text("web/README.md");
    assert!(
        readme.contains(&format!("in Node.js {engines} and later")),
        "README and engines name one version"
    );
    assert!(!readme.contains("--experimental"), "no example needs a flag");
    let documents = documents();
    let document = documents.iter().find(|document| document.name() == "web/README.md").expect("a document");
    let (blocks, _) = document.split();
    let code: String =
        blocks.iter().filter(|block| block.info == "js").flat_map(|block| &block.code).copied().collect();
    for (feature, since) in FEATURES {
        assert!(code.contains(feature), "no example has {feature}");
        assert!(version(engines) >= since, "{feature} needs Node.js {since:?}, and engines says {engines}");
    }
}
