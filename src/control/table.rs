//! Answers as text for people: an object as a line for each member, and a list of objects as a table.

use serde_json::{Map, Value as Json};

use crate::ops::printable::printable;

/// Formats the result of a command, without a final newline.
pub(super) fn of(result: &Json) -> String {
    let Json::Object(members) = result else { return cell(result) };
    let (tables, others): (Vec<_>, Vec<_>) = members.iter().partition(|(_, value)| value.is_array());
    let width = others.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let tables = tables.iter().map(|(_, list)| table(list));
    let lines = others.iter().map(|(name, value)| format!("{name:width$}  {}", cell(value)));
    tables.chain(lines).filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
}

/// Formats the result of a trace in one line.
pub(super) fn line(result: &Json) -> String {
    let members = result.as_object().into_iter().flatten();
    members.map(|(name, value)| format!("{name} {}", cell(value))).collect::<Vec<_>>().join("  ")
}

fn table(list: &Json) -> String {
    let rows: Vec<&Map<String, Json>> =
        list.as_array().into_iter().flatten().filter_map(Json::as_object).collect();
    let Some(first) = rows.first() else { return String::new() };
    let heads: Vec<String> = first.keys().cloned().collect();
    let cells = rows.iter().map(|row| heads.iter().map(|head| cell(&row[head])).collect::<Vec<_>>());
    let lines: Vec<Vec<String>> = std::iter::once(heads.clone()).chain(cells).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    let text = |line: &Vec<String>| {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:>width$}"));
        cells.collect::<Vec<_>>().join("  ")
    };
    lines.iter().map(text).collect::<Vec<_>>().join("\n")
}

fn cell(value: &Json) -> String {
    match value {
        Json::Null => "-".to_owned(),
        Json::String(text) => printable(text).into_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_are_tables_and_members_are_lines() {
        let result = json!({ "players": [{ "id": 7, "address": "::1" }, { "id": 12345, "address": null }], "matching": 2 });
        assert_eq!(of(&result), "   id  address\n    7      ::1\n12345        -\nmatching  2");
        assert_eq!(of(&json!({ "state": "serving", "node": null })), "state  serving\nnode   -");
        assert_eq!(of(&json!({ "bans": [], "text": "a\u{1b}b" })), "text  a\\u{1b}b");
    }
}
