//! The check of words that `make lint` runs finds each phrase of its list, and each phrase has a replacement.

use std::fs;
use std::process::Command;

use super::root;

#[test]
fn the_check_finds_a_replaced_phrase_and_names_its_place() {
    let folder = std::env::temp_dir().join(format!("pixi-words-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let check = || Command::new(root().join("tools/words.sh")).arg(&folder).output().expect("the check runs");
    fs::write(folder.join("clean.rs"), "// The server closes the connection.\n").expect("a file");
    let clean = check();
    // In two parts, so that the check does not find it here.
    let old = ["fn f() {}\n// LOG_FILE is opened an", "ew.\n"].concat();
    fs::write(folder.join("old.rs"), old).expect("a file");
    let output = check();
    fs::remove_dir_all(&folder).expect("the folder is removed");
    assert!(clean.status.success(), "{}", String::from_utf8_lossy(&clean.stderr));
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("./old.rs:2:") && text.contains("use instead: again"), "{text}");
    assert!(!text.contains("clean.rs"), "{text}");
}

#[test]
fn every_phrase_has_a_replacement() {
    let list = fs::read_to_string(root().join("tools/words.txt")).expect("the list");
    let entries = list.lines().filter(|line| !line.starts_with('#'));
    let count = entries.inspect(|entry| assert_eq!(entry.matches('\t').count(), 1, "{entry}")).count();
    assert!(count > 20, "{count} phrases");
}
