//! The documents as a whole: no sentence is repeated in another document, both READMEs agree, and they are short.

use std::collections::BTreeMap;

use super::{documents, text};
use crate::tidy::sources;

/// Minimum number of words; shorter sentences may repeat by chance.
const WORDS_MIN: usize = 8;

const README_BYTES_MAX: usize = 7_000;

/// Sentences of prose and cells of tables, without their links and marks.
fn sentences(text: &str) -> Vec<String> {
    let plain: String = text.chars().filter(|sign| !matches!(sign, '`' | '*' | '#' | '[' | ']')).collect();
    let parts = plain.replace("\n\n", "|").replace('\n', " ");
    let parts = parts.split('|').flat_map(|part| part.split(". "));
    parts.map(|part| part.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn no_sentence_is_in_two_documents() {
    let mut owners: BTreeMap<String, String> = BTreeMap::new();
    for document in documents() {
        let (_, prose) = document.split();
        for sentence in sentences(&prose.join("\n")) {
            if sentence.split(' ').count() < WORDS_MIN {
                continue;
            }
            let name = document.name();
            let owner = owners.entry(sentence.clone()).or_insert_with(|| name.clone());
            assert_eq!(*owner, name, "both have: {sentence}");
        }
    }
    assert!(owners.len() > 500, "{} sentences", owners.len());
}

#[test]
fn the_readme_is_short() {
    let bytes = text("README.md").len();
    assert!(bytes <= README_BYTES_MAX, "README.md has {bytes} bytes");
    let (characters, english) = (text("README.ru.md").chars().count(), text("README.md").chars().count());
    assert!(
        characters.abs_diff(english) * 5 < english,
        "README.ru.md has {characters} characters, not {english}"
    );
}

/// Commands, and cells of tables that need no translation.
fn facts(name: &str) -> (Vec<String>, Vec<String>) {
    let text = text(name);
    let mut commands = Vec::new();
    for block in text.split("```").skip(1).step_by(2) {
        let (_, lines) = block.split_once('\n').expect("a line");
        let without_comment = |line: &str| line.split('#').next().unwrap_or_default().trim().to_owned();
        commands.extend(lines.lines().map(without_comment).filter(|line| !line.is_empty()));
    }
    let cells = text.lines().filter(|line| line.starts_with('|')).flat_map(|line| line.split('|'));
    let is_fact = |cell: &&str| {
        cell.starts_with('`') || cell.starts_with('[') || cell.starts_with(|sign: char| sign.is_ascii_digit())
    };
    // Numbers are equal in all languages, units are not.
    let number = |cell: &str| {
        let number = cell.split(' ').next().unwrap_or_default();
        if cell.starts_with(|sign: char| sign.is_ascii_digit()) { number.to_owned() } else { cell.to_owned() }
    };
    (commands, cells.map(str::trim).filter(is_fact).map(number).collect())
}

#[test]
fn the_russian_readme_has_the_same_commands_and_tables() {
    let ((commands, cells), (russian_commands, russian_cells)) = (facts("README.md"), facts("README.ru.md"));
    assert!(commands.len() > 5 && cells.len() > 40, "{commands:?}, {cells:?}");
    assert_eq!(commands, russian_commands);
    assert_eq!(cells, russian_cells);
    let targets = |name: &str| {
        let text = text(name);
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        targets
            .map(|(target, _)| target.to_owned())
            .filter(|target| !target.starts_with("README"))
            .collect::<Vec<_>>()
    };
    assert_eq!(targets("README.md"), targets("README.ru.md"));
}

#[test]
fn log_lines_that_operations_explains_exist() {
    let page = text("docs/OPERATIONS.md");
    let rows = page.lines().skip_while(|line| !line.starts_with("| log line contains")).skip(2);
    let source: String = sources("src").into_iter().map(|(_, text)| text).collect();
    let mut checked = 0;
    for row in rows.take_while(|line| line.starts_with('|')) {
        for phrase in row.split('|').nth(1).expect("a cell").split('`').skip(1).step_by(2) {
            assert!(source.contains(phrase), "no log line contains {phrase}");
            checked += 1;
        }
    }
    assert!(checked > 7, "{checked} phrases");
}
