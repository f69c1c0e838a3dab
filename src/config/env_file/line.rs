//! Grammar of a line of an environment file, compatible with systemd, Docker and dotenv where those agree:
//!
//! * A line is blank, a comment (`#` or `;` at its start), or `NAME=value`, optionally preceded by `export`. Spaces around
//!   name and value are ignored.
//! * An unquoted value extends to the end of the line, or to a `#` after a space. Its characters are literal, including
//!   other `#` and quotes.
//! * In single quotes every character is literal. In double quotes a backslash escapes `"`, `\`, `$` and `` ` ``. Only a
//!   comment may follow the closing quote.
//! * There is no substitution and no line continuation. Tab is the only control character allowed.

/// A variable and its value.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::config) struct Entry<'a> {
    /// The variable, which need not be a setting.
    pub name: &'a str,
    /// Column of the name, in characters from 1.
    pub name_column: usize,
    /// The value, without quotes and surrounding spaces.
    pub value: String,
    /// Column of the value, in characters from 1.
    pub column: usize,
}

#[derive(Debug, PartialEq, Eq)]
pub(in crate::config) struct SyntaxError {
    /// Column of the error, in characters from 1.
    pub column: usize,
    /// The message, without text of the line.
    pub message: String,
}

/// A line being parsed; positions are byte offsets.
#[derive(Clone, Copy)]
struct Line<'a>(&'a str);

/// Parses a line without its line end; `None` for a blank line or a comment.
///
/// # Errors
/// The first syntax error.
pub(in crate::config) fn entry(text: &str) -> Result<Option<Entry<'_>>, SyntaxError> {
    let line = Line(text);
    let is_forbidden = |character: char| character.is_control() && character != '\t';
    if let Some((at, character)) = text.char_indices().find(|&(_, character)| is_forbidden(character)) {
        return Err(line.error(at, &format!("unexpected control character U+{:04X}", u32::from(character))));
    }
    let start = line.skip_blanks(0);
    if start == text.len() || text[start..].starts_with(['#', ';']) {
        return Ok(None);
    }
    let start = line.skip_export(start);
    let Some(equals) = text[start..].find('=').map(|at| start + at) else {
        let name_end = text[start..].find(char::is_whitespace).map_or(text.len(), |at| start + at);
        return Err(line.error(line.skip_blanks(name_end), "expected NAME=value"));
    };
    let at = line.skip_blanks(equals + 1);
    let value = match text[at..].chars().next() {
        Some('\'') => line.quoted(at, '\'')?,
        Some('"') => line.quoted(at, '"')?,
        _ => line.unquoted(equals + 1)?,
    };
    let (name_column, column) = (line.column(start), line.column(at));
    Ok(Some(Entry { name: text[start..equals].trim(), name_column, value, column }))
}

impl Line<'_> {
    fn column(self, at: usize) -> usize {
        self.0[..at].chars().count() + 1
    }

    fn error(self, at: usize, message: &str) -> SyntaxError {
        SyntaxError { column: self.column(at), message: message.to_owned() }
    }

    fn skip_blanks(self, at: usize) -> usize {
        self.0.len() - self.0[at..].trim_start().len()
    }

    fn skip_export(self, at: usize) -> usize {
        let rest = self.0[at..].strip_prefix("export").filter(|rest| rest.starts_with(char::is_whitespace));
        rest.map_or(at, |rest| self.skip_blanks(self.0.len() - rest.len()))
    }

    /// Parses an unquoted value after the `=`, from this offset on.
    fn unquoted(self, at: usize) -> Result<String, SyntaxError> {
        let rest = &self.0[at..];
        let is_comment = |&(sign, _): &(usize, &str)| rest[..sign].ends_with(char::is_whitespace);
        let end = rest.match_indices('#').find(is_comment).map_or(rest.len(), |(sign, _)| sign);
        let value = rest[..end].trim();
        if value.ends_with('\\') {
            let last = at + rest[..end].trim_end().len() - 1;
            return Err(
                self.error(last, "a value can't continue on the next line; quote a value that ends in \\")
            );
        }
        Ok(value.to_owned())
    }

    /// Parses a quoted value; its opening quote is at this offset.
    fn quoted(self, at: usize, quote: char) -> Result<String, SyntaxError> {
        let (mut value, mut characters) = (String::new(), self.0[at + 1..].char_indices().peekable());
        while let Some((offset, character)) = characters.next() {
            if character == quote {
                return self.expect_end(at + 1 + offset + 1).map(|()| value);
            }
            let is_escape = character == '\\' && quote == '"';
            let escaped = characters.next_if(|(_, next)| is_escape && "\"\\$`".contains(*next));
            value.push(escaped.map_or(character, |(_, escaped)| escaped));
        }
        Err(self.error(at, "missing closing quote"))
    }

    /// Checks that only a comment follows a closing quote.
    fn expect_end(self, at: usize) -> Result<(), SyntaxError> {
        let next = self.skip_blanks(at);
        let is_comment = next > at && self.0[next..].starts_with('#');
        if next == self.0.len() || is_comment {
            Ok(())
        } else {
            Err(self
                .error(next, "unexpected text after the closing quote; a comment starts with a space and #"))
        }
    }
}

/// Writes a line that [`entry`] parses to this variable and value, which must have no control characters except tabs. Quotes
/// are used only where necessary, since some programs take quotes literally.
pub(in crate::config) fn write(variable: &str, value: &str) -> String {
    let line = |written: &str| format!("{variable}={written}");
    let reads_back = |line: &String| matches!(entry(line), Ok(Some(entry)) if entry.value == value);
    let escape = |character: char| match character {
        '"' | '\\' | '$' | '`' => format!("\\{character}"),
        _ => character.to_string(),
    };
    let candidates = [line(value), line(&format!("'{value}'"))];
    candidates.into_iter().find(reads_back).unwrap_or_else(|| {
        let escaped: String = value.chars().map(escape).collect();
        line(&format!("\"{escaped}\""))
    })
}
