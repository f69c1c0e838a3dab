//! Numbers as people read them, and foreign text as a terminal may be shown it.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde_json::Value as Json;

/// Foreign text, such as a server's, with every character escaped that a terminal acts on: control characters, separators of
/// lines, marks of direction.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if acts(character) {
            let _ = write!(escaped, "{}", character.escape_default());
        } else {
            escaped.push(character);
        }
    }
    Cow::Owned(escaped)
}

/// A foreign answer whose texts and names are [`printable`].
pub fn printable_json(value: Json) -> Json {
    match value {
        Json::String(text) => printable(&text).into(),
        Json::Array(values) => values.into_iter().map(printable_json).collect(),
        Json::Object(members) => Json::Object(
            members
                .into_iter()
                .map(|(name, value)| (printable(&name).into_owned(), printable_json(value)))
                .collect(),
        ),
        _ => value,
    }
}

fn acts(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// A whole number with commas between the thousands.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_does_nothing_to_a_terminal() {
        assert_eq!(printable("a\nb\u{1b}[2J\u{9b}\u{202e}ü"), "a\\nb\\u{1b}[2J\\u{9b}\\u{202e}ü");
        assert_eq!(printable("1,000 µs"), "1,000 µs");
    }

    #[test]
    fn a_foreign_answer_is_printable_in_all_its_parts() {
        let answer = serde_json::json!({ "a\n": ["\u{1b}[2J", 1], "b": { "c\u{9b}": null } });
        let expected = serde_json::json!({ "a\\n": ["\\u{1b}[2J", 1], "b": { "c\\u{9b}": null } });
        assert_eq!(printable_json(answer), expected);
    }

    #[test]
    fn thousands_are_set_apart() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(number), text);
        }
    }
}
