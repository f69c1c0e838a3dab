//! Formatting of numbers, and escaping of untrusted text for a terminal.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde_json::Value as Json;

/// Escapes every character of untrusted text that a terminal interprets: control characters, line separators, and
/// bidirectional marks.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_interpreted) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_interpreted(character) {
            let _ = write!(escaped, "{}", character.escape_default());
        } else {
            escaped.push(character);
        }
    }
    Cow::Owned(escaped)
}

/// Makes all strings and names of an untrusted JSON value [`printable`].
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

fn is_interpreted(character: char) -> bool {
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

/// Formats a number with commas between the thousands.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
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
    fn untrusted_text_is_escaped_for_a_terminal() {
        assert_eq!(printable("a\nb\u{1b}[2J\u{9b}\u{202e}ü"), "a\\nb\\u{1b}[2J\\u{9b}\\u{202e}ü");
        assert_eq!(printable("1,000 µs"), "1,000 µs");
    }

    #[test]
    fn an_untrusted_json_value_is_escaped_in_all_its_parts() {
        let answer = serde_json::json!({ "a\n": ["\u{1b}[2J", 1], "b": { "c\u{9b}": null } });
        let expected = serde_json::json!({ "a\\n": ["\\u{1b}[2J", 1], "b": { "c\\u{9b}": null } });
        assert_eq!(printable_json(answer), expected);
    }

    #[test]
    fn thousands_are_separated() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(number), text);
        }
    }
}
