//! Escapes untrusted text for a line of output: it can't end the line, move the cursor or change the text direction.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Escapes every character that a terminal, a pager or a log collector interprets: `\n`, `\u{1b}`.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(needs_escape) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if needs_escape(character) {
            let _ = write!(escaped, "{}", character.escape_default());
        } else {
            escaped.push(character);
        }
    }
    Cow::Owned(escaped)
}

/// Escapes the same characters within JSON, whose own rules escape only ASCII. These characters occur only inside strings.
pub fn printable_json(json: String) -> String {
    if !json.contains(needs_escape) {
        return json;
    }
    let mut escaped = String::with_capacity(json.len() + 16);
    for character in json.chars() {
        if needs_escape(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        } else {
            escaped.push(character);
        }
    }
    escaped
}

/// Whether a character is a control character, a line separator, or invisible (direction marks, joiners, tags).
fn needs_escape(character: char) -> bool {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn control_and_invisible_characters_are_escaped_and_others_are_kept() {
        for (text, expected) in [
            ("a\nb\r\t", "a\\nb\\r\\t"),
            ("\u{1b}[2J\u{7f}\0", "\\u{1b}[2J\\u{7f}\\u{0}"),
            ("\u{9b}31m\u{85}", "\\u{9b}31m\\u{85}"),
            ("\u{202e}gnp.\u{2066}\u{2069}\u{200f}", "\\u{202e}gnp.\\u{2066}\\u{2069}\\u{200f}"),
            ("\u{2028}\u{2029}\u{feff}", "\\u{2028}\\u{2029}\\u{feff}"),
            ("Grüße, 世界 🎮 \\n", "Grüße, 世界 🎮 \\n"),
        ] {
            assert_eq!(printable(text), expected);
        }
    }

    proptest! {
        #[test]
        fn printable_text_needs_no_escape(text: String) {
            prop_assert!(!printable(&text).contains(needs_escape));
        }

        #[test]
        fn printable_json_parses_to_the_same_value(text: String) {
            let json = serde_json::Value::from(text);
            let escaped = printable_json(json.to_string());
            prop_assert!(!escaped.contains(needs_escape));
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&escaped).unwrap(), json);
        }
    }
}
