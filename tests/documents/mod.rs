//! The documents: links and make targets exist, and the commands marked as quick work.
//!
//! [`login`] runs the worked example of a login. A block of commands marked `sh live` runs against a server of the test. Port 8108 is replaced by that server's port, and
//! `pixi-game-server` is the program under test.

mod login;
mod metrics;
mod node;
mod sentences;
mod stack;
mod tonight;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::server::path_with_program;
use crate::support::{Settings, folder};

/// Folders with documents, without their subfolders.
const FOLDERS: [&str; 4] = [".", "docs", "deploy", "web"];

const PORT: &str = "8108";

struct Document {
    path: PathBuf,
    text: String,
}

/// A fenced block of a document.
struct Block<'a> {
    info: &'a str,
    code: Vec<&'a str>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn documents() -> Vec<Document> {
    let mut found = Vec::new();
    for folder in FOLDERS {
        for entry in fs::read_dir(root().join(folder)).expect("a folder of the project") {
            let path = entry.expect("a readable entry").path();
            if path.extension().is_some_and(|extension| extension == "md") {
                let text = fs::read_to_string(&path).expect("UTF-8");
                found.push(Document { path, text });
            }
        }
    }
    assert!(found.len() > 3, "README and others");
    found
}

impl Document {
    fn name(&self) -> String {
        self.path.strip_prefix(root()).unwrap_or(&self.path).display().to_string()
    }

    /// Blocks, and the lines outside them.
    fn split(&self) -> (Vec<Block<'_>>, Vec<&str>) {
        let (mut blocks, mut prose, mut open) = (Vec::new(), Vec::new(), None::<Block<'_>>);
        for line in self.text.lines() {
            match (line.trim_start().strip_prefix("```"), &mut open) {
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (Some(info), None) => open = Some(Block { info: info.trim(), code: Vec::new() }),
                (None, Some(block)) => block.code.push(line),
                (None, None) => prose.push(line),
            }
        }
        assert!(open.is_none(), "{}: a block does not end", self.name());
        (blocks, prose)
    }

    /// The anchors that GitHub gives to the headings.
    fn anchors(&self) -> BTreeSet<String> {
        let headings = self.split().1.into_iter().filter(|line| line.starts_with('#'));
        headings
            .map(|heading| {
                let text = heading.trim_start_matches('#').trim().to_lowercase();
                let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
                kept.map(|c| if c == ' ' { '-' } else { c }).collect()
            })
            .collect()
    }
}

/// The targets of the links in a line of prose.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target)
}

#[test]
fn every_link_leads_to_an_existing_file_and_heading() {
    let documents = documents();
    let mut checked = 0;
    for document in &documents {
        for link in document.split().1.into_iter().flat_map(links) {
            if link.starts_with("https://") {
                continue;
            }
            let name = document.name();
            let (file, anchor) =
                link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
            let folder = document.path.parent().expect("a file has a folder");
            let path = if file.is_empty() { document.path.clone() } else { folder.join(file) };
            assert!(path.exists(), "{name}: {link} leads nowhere");
            if let Some(anchor) = anchor {
                let path = path.canonicalize().expect("it exists");
                let target =
                    documents.iter().find(|other| other.path.canonicalize().is_ok_and(|p| p == path));
                let target = target.unwrap_or_else(|| panic!("{name}: {link} names no document"));
                assert!(target.anchors().contains(anchor), "{name}: {link} names no heading");
            }
            checked += 1;
        }
    }
    assert!(checked > 10, "links are found");
}

#[test]
fn every_make_target_that_a_document_names_exists() {
    let makefile = fs::read_to_string(root().join("Makefile")).expect("the Makefile");
    let exists = |target: &str| {
        makefile.lines().any(|line| {
            line.split_once(':').is_some_and(|(targets, _)| targets.split(' ').any(|known| known == target))
        })
    };
    let mut checked = 0;
    for document in documents() {
        for (_, rest) in
            document.text.match_indices("make ").map(|(at, word)| document.text.split_at(at + word.len()))
        {
            let target: String = rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect();
            let before = document.text[..document.text.len() - rest.len()].trim_end_matches("make ");
            // A command, not the verb: at the start of a line, in backticks, or after a variable.
            let is_command = before.ends_with(['`', '\n']) || before.ends_with("run ");
            if is_command && !target.is_empty() {
                assert!(exists(&target), "{}: make {target} is no target", document.name());
                checked += 1;
            }
        }
    }
    assert!(checked > 10, "targets are found");
}

#[test]
fn the_live_commands_work_unchanged() {
    let socket = folder("live").join("control.sock");
    let server = Settings::new().set("CONTROL_SOCKET", socket.to_str().expect("UTF-8")).start();
    let path = path_with_program();
    let port = server.address().port().to_string();
    let mut run = 0;
    for document in documents() {
        let (blocks, _) = document.split();
        for block in blocks.iter().filter(|block| block.info == "sh live") {
            let script = block.code.join("\n").replace(PORT, &port).replace("target/release/", "");
            let mut command = Command::new("sh");
            command.args(["-eu", "-c", &script]).current_dir(root());
            command.env("PATH", &path).env("PORT", &port).env("CONTROL_SOCKET", &socket);
            let output = command.output().expect("sh runs");
            assert!(
                output.status.success(),
                "{}: {}\n{script}\n{}{}",
                document.name(),
                output.status,
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
            run += 1;
        }
    }
    assert!(run > 1, "live commands are found");
}

/// A program as it is installed, at the start of a command.
const INSTALLED: [&str; 3] = ["pixi-game-server ", "pixi-game-ops ", "pixi-game-loadtest "];

#[test]
fn a_page_with_installed_programs_names_those_of_a_clone_too() {
    let mut checked = 0;
    for document in documents() {
        let (blocks, prose) = document.split();
        let commands =
            blocks.iter().filter(|block| block.info.starts_with("sh")).flat_map(|block| &block.code);
        let inline = prose.iter().flat_map(|line| line.split('`').skip(1).step_by(2));
        let names_installed = commands
            .copied()
            .chain(inline)
            .any(|command| INSTALLED.iter().any(|name| command.trim_start().starts_with(name)));
        let is_guide =
            document.path.starts_with(root().join("docs")) || document.name().starts_with("README");
        if names_installed && is_guide {
            assert!(document.text.contains("target/release/"), "{}", document.name());
            checked += 1;
        }
    }
    assert!(checked > 3, "pages are found");
}
