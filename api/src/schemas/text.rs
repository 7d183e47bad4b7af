//! The one rule of texts that people write: what a new one may hold, and what an answer may show.
//!
//! A new text holds no control character (General Category Cc), none of the three that `\s` of ECMA-262 §22.2.2.9 takes for
//! white space and other regular expressions do not (U+FEFF, and U+2028 and U+2029, which end lines in source code), and not
//! white space alone. Texts of version 0.1.0 may hold those three, and stay readable.

use poem_openapi::registry::MetaSchema;

use crate::http::newtype::Invalid;

/// Whether a text may have several lines, and tabs in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lines {
    One,
    Many,
}

impl Lines {
    /// The control characters that such a text may hold.
    fn controls(self) -> &'static [char] {
        match self {
            Self::One => &[],
            Self::Many => &['\t', '\n', '\r'],
        }
    }
}

/// The schema of a new text of 1 to so many Unicode code points. Its pattern means the same in ECMA-262, Rust and Python,
/// and can be written raw into a literal of any of them: it names no line separator.
pub(crate) fn schema(lines: Lines, max: usize) -> MetaSchema {
    // White space that a text may hold.
    let spaces = match lines {
        // Written out: the rest of `\s` is refused.
        Lines::One => r"[ \xA0\u1680\u2000-\u200A\u202F\u205F\u3000]*",
        // By what is refused, as a line break cannot be written out.
        Lines::Many => r"[^\S\x0B\x0C\x1C-\x1F\x85\u2027-\u202A\uFEFF]*",
    };
    let visible = r"[^\s\x00-\x1F\x7F-\x9F\uFEFF]";
    MetaSchema { pattern: Some(format!("^{spaces}({visible}{spaces})+$")), ..loose_schema(lines, max) }
}

/// The schema of a text in an answer, or of one that is looked for: no control characters.
pub(crate) fn loose_schema(lines: Lines, max: usize) -> MetaSchema {
    let pattern = match lines {
        Lines::One => r"^[^\x00-\x1F\x7F-\x9F]+$",
        Lines::Many => r"^[^\x00-\x08\x0B\x0C\x0E-\x1F\x7F-\x9F]+$",
    };
    MetaSchema {
        min_length: Some(1),
        max_length: Some(max),
        pattern: Some(pattern.to_owned()),
        ..MetaSchema::new("string")
    }
}

/// Whether it is a new text, of at most so many code points: `too_long` says how many.
pub(crate) fn check(text: &str, lines: Lines, max: usize, too_long: &'static str) -> Result<(), Invalid> {
    if !text.is_empty() {
        check_loosely(text, lines, max, too_long)?;
    }
    if text.contains(['\u{2028}', '\u{2029}', '\u{FEFF}']) {
        return Err(Invalid(
            "must not contain U+2028, U+2029 or U+FEFF, which other programs take for line breaks or for nothing",
        ));
    }
    if text.chars().all(char::is_whitespace) {
        return Err(Invalid("must contain a character that is not white space"));
    }
    Ok(())
}

/// Whether it is a text that may be looked for, of 1 to so many code points: `wrong_length` says how many.
pub(crate) fn check_loosely(text: &str, lines: Lines, max: usize, wrong_length: &'static str) -> Result<(), Invalid> {
    if text.is_empty() || text.chars().nth(max).is_some() {
        return Err(Invalid(wrong_length));
    }
    if text.chars().any(|c| c.is_control() && !lines.controls().contains(&c)) {
        return Err(Invalid(match lines {
            Lines::One => "must not contain control characters, such as tabs and line breaks",
            Lines::Many => "must not contain control characters other than tabs and line breaks",
        }));
    }
    Ok(())
}
