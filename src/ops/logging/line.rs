//! Format of a log line: plain text or JSON.

use std::fmt;
use std::sync::LazyLock;

use log::Record;
use log::kv::{self, Key, Value, VisitSource};
use serde_json::{Map, Value as Json};
use time::OffsetDateTime;
use time::format_description::{BorrowedFormatItem, parse_borrowed};

use crate::ops::printable::{printable, printable_json};
use crate::ops::secret::redact;

/// RFC 3339 in UTC with milliseconds. The `Rfc3339` format of `time` omits trailing zeros, which would shift the columns.
static TIME: LazyLock<Vec<BorrowedFormatItem<'static>>> = LazyLock::new(|| {
    let description = "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z";
    parse_borrowed::<2>(description).expect("the description is valid: tests format with it")
});

/// Format of log lines; `Display` writes its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Time, level and message.
    Text,
    /// One JSON object per line: `time` (RFC 3339, UTC), `level` in lower case, `message`, and the message's values as
    /// further keys.
    Json,
}

impl Format {
    /// Returns the format of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Text, Self::Json].into_iter().find(|format| format.to_string() == name)
    }

    /// Formats a record as exactly one line, with its newline. Secrets are redacted, and characters that a terminal
    /// interprets are escaped. `now` is in UTC.
    pub(super) fn line(self, now: OffsetDateTime, record: &Record<'_>) -> Vec<u8> {
        let time = now.format(&TIME[..]).unwrap_or_default();
        let message = record.args().to_string();
        let message = redact(&message);
        let mut line = match self {
            Self::Text => format!("{time} [{}] {}", record.level(), printable(&message)),
            Self::Json => {
                let mut fields = Fields(Map::new());
                let level = record.level().as_str().to_ascii_lowercase();
                for (key, text) in [("time", time), ("level", level), ("message", message.into_owned())] {
                    fields.0.insert(key.to_owned(), text.into());
                }
                // Visiting numbers and texts, the only values that are logged, can't fail.
                let _ = record.key_values().visit(&mut fields);
                printable_json(Json::Object(fields.0).to_string())
            }
        };
        line.push('\n');
        line.into_bytes()
    }
}

impl fmt::Display for Format {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

struct Fields(Map<String, Json>);

impl<'kvs> VisitSource<'kvs> for Fields {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
        let value = value
            .to_u64()
            .map(Json::from)
            .or_else(|| value.to_f64().map(Json::from))
            .unwrap_or_else(|| redact(&value.to_string()).into());
        self.0.insert(key.to_string(), value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use log::Level;

    use super::*;

    fn line(format: Format, message: &str, fields: &[(&str, Value<'_>)]) -> String {
        line_at(123_456_789, format, message, fields)
    }

    fn line_at(nanosecond: i128, format: Format, message: &str, fields: &[(&str, Value<'_>)]) -> String {
        let now = OffsetDateTime::from_unix_timestamp_nanos(1_700_000_000_000_000_000 + nanosecond).unwrap();
        let mut builder = Record::builder();
        let line = format.line(
            now,
            &builder.level(Level::Warn).key_values(&fields).args(format_args!("{message}")).build(),
        );
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn a_text_line_is_time_level_and_message() {
        let text = line(Format::Text, "two words", &[("players", 5.into())]);
        assert_eq!(text, "2023-11-14T22:13:20.123Z [WARN] two words\n");
    }

    #[test]
    fn every_time_has_three_fractional_digits() {
        for (nanosecond, digits) in
            [(0, "000"), (100_000_000, "100"), (120_000_000, "120"), (7_000_000, "007"), (999_999_999, "999")]
        {
            let time = format!("2023-11-14T22:13:20.{digits}Z");
            assert_eq!(line_at(nanosecond, Format::Text, "a", &[]), format!("{time} [WARN] a\n"));
            let json: Json = serde_json::from_str(&line_at(nanosecond, Format::Json, "a", &[])).unwrap();
            assert_eq!(json["time"], time);
        }
    }

    #[test]
    fn a_json_line_is_one_object_with_the_values_of_the_message() {
        let fields = [("players", 5u64.into()), ("rate", 0.5.into()), ("why", "a \"b\"".into())];
        let text = line(Format::Json, "a \"quoted\"\nmessage", &fields);
        assert_eq!(text.matches('\n').count(), 1);
        let expected = serde_json::json!({
            "time": "2023-11-14T22:13:20.123Z", "level": "warn", "message": "a \"quoted\"\nmessage",
            "players": 5, "rate": 0.5, "why": "a \"b\"",
        });
        assert_eq!(serde_json::from_str::<Json>(&text).unwrap(), expected);
    }

    #[test]
    fn control_characters_of_a_message_are_escaped() {
        let message = "a\nb\u{1b}[2J\u{9b}\u{202e}c";
        let text = line(Format::Text, message, &[]);
        assert_eq!(text, "2023-11-14T22:13:20.123Z [WARN] a\\nb\\u{1b}[2J\\u{9b}\\u{202e}c\n");
        let json = line(Format::Json, message, &[("why", message.into())]);
        assert!(json.is_ascii() && json.matches('\n').count() == 1, "{json}");
        let value: Json = serde_json::from_str(&json).unwrap();
        assert_eq!((&value["message"], &value["why"]), (&message.into(), &message.into()));
    }

    #[test]
    fn registered_secrets_are_redacted() {
        crate::ops::secret::register([crate::ops::secret::Secret::new("secret-of-this-test")]);
        for format in [Format::Text, Format::Json] {
            let text = line(format, "ERR 'secret-of-this-test'", &[("why", "secret-of-this-test".into())]);
            assert!(!text.contains("of-this-test") && text.contains("ERR '***'"), "{text}");
        }
    }

    #[test]
    fn formats_are_found_by_name() {
        for format in [Format::Text, Format::Json] {
            assert_eq!(Format::named(&format.to_string()), Some(format));
        }
        assert_eq!(Format::named("xml"), None);
    }
}
