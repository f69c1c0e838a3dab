//! Writes manual pages in the man(7) format.

use std::fmt::Write as _;

/// A manual page under construction.
pub struct Page {
    text: String,
}

impl Page {
    /// Starts a page of section 8.
    pub fn new(name: &str, version: &str, summary: &str) -> Page {
        let mut page = Page { text: String::new() };
        let title = escaped(&name.to_uppercase());
        let _ = writeln!(page.text, ".TH {title} 8 \"\" \"{}\" \"System administration\"", escaped(version));
        page.section("NAME");
        let _ = writeln!(page.text, "{} \\- {}", escaped(name), escaped(summary));
        page
    }

    /// Starts a section.
    pub fn section(&mut self, title: &str) -> &mut Page {
        let _ = writeln!(self.text, ".SH {title}");
        self
    }

    /// Starts a part of a section.
    pub fn subsection(&mut self, title: &str) -> &mut Page {
        let _ = writeln!(self.text, ".SS {title}");
        self
    }

    /// Appends a paragraph.
    pub fn paragraph(&mut self, text: &str) -> &mut Page {
        self.divide();
        let _ = writeln!(self.text, "{}", line(text));
        self
    }

    /// Appends a list entry: a term in bold and its description.
    pub fn entry(&mut self, term: &str, text: &str) -> &mut Page {
        let _ = writeln!(self.text, ".TP\n.B {}\n{}", escaped(term), line(text));
        self
    }

    /// Appends a separate line to the previous entry.
    pub fn note(&mut self, text: &str) -> &mut Page {
        let _ = writeln!(self.text, ".br\n{}", line(text));
        self
    }

    /// Appends preformatted lines, such as commands.
    pub fn example(&mut self, lines: &[&str]) -> &mut Page {
        self.divide();
        let _ = writeln!(self.text, ".EX");
        for text in lines {
            let _ = writeln!(self.text, "{}", line(text));
        }
        let _ = writeln!(self.text, ".EE");
        self
    }

    /// Separates a paragraph from the text above, unless a heading precedes it.
    fn divide(&mut self) {
        if !self.text.lines().last().is_some_and(|last| last.starts_with(".S")) {
            self.text.push_str(".PP\n");
        }
    }

    /// Returns the page.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.text)
    }
}

/// Escapes text, so that roff interprets none of its characters.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-").replace('"', "\\(dq")
}

/// Escapes a whole line. A first character `.` or `'` would make it a request.
fn line(text: &str) -> String {
    let text = escaped(text);
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_never_becomes_a_request() {
        let mut page = Page::new("a-b", "1.0", "does things");
        let text =
            page.section("S").paragraph("yes").paragraph(".SH no").entry("--flag", "back\\slash").finish();
        assert!(text.contains("\n\\&.SH no\n"), "{text}");
        assert!(text.contains("\n.B \\-\\-flag\nback\\eslash\n"), "{text}");
        assert!(text.starts_with(".TH A\\-B 8 "), "{text}");
    }
}
