//! The tables of the map in ARCHITECTURE.md match the source, and modules use only modules below them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::{code, root, sources};

struct Row {
    name: String,
    uses: BTreeSet<String>,
    crates: BTreeSet<String>,
}

/// The words in backticks of a table's cell.
fn words(cell: &str) -> BTreeSet<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The rows of the table whose heading starts with this cell.
fn table(heading: &str) -> Vec<Row> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let (_, map) = text.split_once("## The map").expect("the map");
    let lines = map.lines().skip_while(|line| !line.starts_with(&format!("| {heading} | content |")));
    let rows = lines.skip(2).take_while(|line| line.starts_with('|'));
    let cells = rows.map(|row| row.split('|').map(str::trim).collect::<Vec<_>>());
    let rows: Vec<Row> = cells
        .map(|cells| Row {
            name: cells[1].trim_matches('`').to_owned(),
            uses: words(cells[3]),
            crates: cells.get(4).map(|cell| words(cell)).unwrap_or_default(),
        })
        .collect();
    assert!(rows.len() > 3, "the table of {heading}s has {} rows", rows.len());
    rows
}

/// Asserts that every row uses only rows below it.
fn assert_downwards(rows: &[Row]) {
    for (at, row) in rows.iter().enumerate() {
        for used in &row.uses {
            let below = rows[at + 1..].iter().any(|other| other.name == *used);
            assert!(below || used == "pixi-game-server", "{} uses {used}, which is not below it", row.name);
        }
    }
}

/// The parts of `server` are modules of their own.
const PARTS_OF_SERVER: [&str; 2] = ["core", "driver"];

/// The module that a file belongs to: its folder, or the file itself.
fn module(path: &Path) -> String {
    let path = path.strip_prefix("src").expect("below src").with_extension("");
    let names: Vec<_> = path.iter().map(|name| name.to_string_lossy()).collect();
    match names.as_slice() {
        [first, part, ..] if first == "server" && PARTS_OF_SERVER.contains(&&**part) => {
            format!("server::{part}")
        }
        [first, ..] => first.clone().into_owned(),
        [] => unreachable!("a file has a name"),
    }
}

/// Code of a file without its tests and comments.
fn product(text: &str) -> String {
    let (text, _) = text.split_once("#[cfg(test)]\nmod tests {").unwrap_or((text, ""));
    code(text).map(|(_, line)| line).collect::<Vec<_>>().join("\n")
}

/// The modules that directly follow a prefix such as `crate::`.
fn followers(code: &str, prefix: &str) -> BTreeSet<String> {
    fn name(text: &str) -> &str {
        text.split(|sign: char| !sign.is_ascii_alphanumeric() && sign != '_').next().unwrap_or_default()
    }
    let rests = code.split(prefix).skip(1);
    rests
        .map(|rest| match rest.strip_prefix("server::").map(name) {
            Some(part) if PARTS_OF_SERVER.contains(&part) => format!("server::{part}"),
            _ => name(rest).to_owned(),
        })
        .collect()
}

/// Whether the code contains a path into this crate.
fn names_crate(code: &str, name: &str) -> bool {
    [format!("{name}::"), format!("use {name};")].iter().any(|word| {
        code.match_indices(word).any(|(at, _)| {
            !code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_' || before == ':')
        })
    })
}

fn dependencies() -> BTreeSet<String> {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("Cargo.toml");
    let tables = manifest.split("\n[").filter(|table| {
        let heading = table.lines().next().unwrap_or_default();
        heading == "dependencies]" || heading.ends_with(".dependencies]")
    });
    let lines = tables.flat_map(|table| table.lines().skip(1));
    lines.filter_map(|line| line.split_once(" = ")).map(|(name, _)| name.replace('-', "_")).collect()
}

#[test]
fn modules_use_what_the_map_lists_and_nothing_above_them() {
    let rows = table("module");
    assert_downwards(&rows);
    let (dependencies, mut seen) = (dependencies(), BTreeSet::new());
    let mut found: Vec<Row> = Vec::new();
    for (path, text) in sources("src") {
        let name = module(&path);
        let is_test = path.file_stem().is_some_and(|stem| stem.to_string_lossy().contains("tests"));
        if name == "lib" || is_test || path.ends_with("testing.rs") {
            continue;
        }
        let code = product(&text);
        let mut uses = followers(&code, "crate::");
        uses.append(&mut followers(&code, "pixi_game_server::"));
        uses.remove(&name);
        let crates = dependencies.iter().filter(|dependency| names_crate(&code, dependency)).cloned();
        let row = Row { name: name.clone(), uses, crates: crates.collect() };
        if seen.insert(name.clone()) {
            found.push(row);
        } else {
            let known = found.iter_mut().find(|known| known.name == name).expect("it was seen");
            known.uses.extend(row.uses);
            known.crates.extend(row.crates);
        }
    }
    let named: BTreeSet<String> = rows.iter().map(|row| row.name.clone()).collect();
    assert_eq!(named, seen, "the modules of the map and those of src");
    for row in &rows {
        let found = found.iter().find(|found| found.name == row.name).expect("every row is a module");
        assert_eq!(row.uses, found.uses, "modules that `{}` uses", row.name);
        assert_eq!(row.crates, found.crates, "the crates of `{}`", row.name);
    }
}

#[test]
fn tools_use_the_crates_that_the_map_lists() {
    let rows = table("crate");
    assert_downwards(&rows);
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(root().join("tools")).expect("the tools") {
        let Ok(manifest) = fs::read_to_string(entry.expect("an entry").path().join("Cargo.toml")) else {
            continue;
        };
        let name = manifest.lines().find_map(|line| line.strip_prefix("name = ")).expect("a name");
        let name = name.trim_matches('"').to_owned();
        let (_, table) = manifest.split_once("\n[dependencies]\n").unwrap_or_default();
        let lines = table.lines().take_while(|line| !line.starts_with('['));
        let ours = lines.filter(|line| line.contains("path = "));
        let uses: BTreeSet<String> =
            ours.filter_map(|line| line.split_once(" = ")).map(|(name, _)| name.to_owned()).collect();
        let row = rows.iter().find(|row| row.name == name);
        let row = row.unwrap_or_else(|| panic!("ARCHITECTURE.md has no row for {name}"));
        assert_eq!(row.uses, uses, "crates that `{name}` uses");
        found.insert(name);
    }
    assert_eq!(found.len(), rows.len(), "every row is a crate");
}

#[test]
fn documents_name_existing_symbols() {
    let mut known = BTreeSet::new();
    for folder in ["src", "tools", "tests"] {
        for (path, text) in sources(folder) {
            let is_part = |sign: char| sign.is_ascii_alphanumeric() || sign == '_';
            known.extend(text.split(|sign| !is_part(sign)).map(str::to_owned));
            known.extend(path.iter().map(|part| part.to_string_lossy().trim_end_matches(".rs").to_owned()));
        }
    }
    let mut checked = 0;
    for document in
        ["ARCHITECTURE.md", "SECURITY.md", "docs/CLUSTER.md", "docs/PERFORMANCE.md", "docs/PROFILING.md"]
    {
        let text = fs::read_to_string(root().join(document)).expect("a document");
        for symbol in text.split('`').skip(1).step_by(2).filter(|word| word.contains("::")) {
            let foreign = ["std::", "TcpExt"].iter().any(|start| symbol.starts_with(start));
            let path = symbol.trim_start_matches("crate::").split("::").filter(|_| !foreign);
            for part in path {
                assert!(known.contains(part), "{document} names {symbol}: there is no {part}");
                checked += 1;
            }
        }
    }
    assert!(checked > 60, "{checked} symbols");
}

/// The types that the patterns `struct NAME` and `enum NAME` declare in this code.
fn declared(code: &str) -> BTreeSet<String> {
    ["struct ", "enum "].iter().flat_map(|keyword| followers(code, keyword)).collect()
}

#[test]
fn a_type_of_the_server_has_its_methods_in_its_own_file() {
    let mut checked = 0;
    for (path, text) in sources("src/server") {
        let code = product(&text);
        let types = declared(&code);
        for line in code.lines().filter(|line| line.starts_with("impl") && !line.contains(" for ")) {
            let name = line.trim_start_matches("impl").trim_start();
            let name = if name.starts_with('<') { name.split_once("> ").expect("generics").1 } else { name };
            let name = name.split(['<', ' ']).next().expect("a name");
            assert!(types.contains(name), "{}: the methods of {name} belong to its own file", path.display());
            checked += 1;
        }
    }
    assert!(checked > 30, "{checked} blocks");
}
