//! The file `.env` of the working directory, which may be another program's as well.
//!
//! Only lines of settings that are needed can stop a start; what else cannot be read is passed over, with a warning.

use std::cell::Cell;
use std::collections::HashMap;
use std::fs;
use std::io::{self, Read};

use crate::config::stop::Stop;

/// The file of variables in the working directory.
const ENV_FILE: &str = ".env";

/// For how many lines the log says that they were passed over.
const MAX_WARNINGS: usize = 10;

/// Why a line is not the setting that it seems to be: the end of a sentence.
const SWALLOWED: &str = "is a part of the value that begins further up with an open quotation mark: close it, or write that value \
                         in quotation marks of the other kind";

const MALFORMED: &str = "is malformed: mostly it wants single quotes";

/// What there is of the file.
#[derive(Debug, Default)]
pub(super) struct EnvFile {
    /// The variables; of several of one name the first counts. Of a setting whose line cannot be meant, why not.
    variables: HashMap<String, Result<String, String>>,
    /// What was passed over.
    warnings: Vec<String>,
    /// Why nothing of it could be read.
    pub(super) unreadable: Option<String>,
}

/// The file of the working directory; one without variables where there is none. `is_ours` knows the settings by name.
pub(super) fn load(is_ours: impl Fn(&str) -> bool) -> EnvFile {
    let folder = || EnvFile {
        warnings: vec![format!("{ENV_FILE} is a folder here, and was passed over")],
        ..EnvFile::default()
    };
    // A folder of this name is a custom of Python's, and holds no settings.
    if fs::metadata(ENV_FILE).is_ok_and(|found| found.is_dir()) {
        return folder();
    }
    match fs::read(ENV_FILE) {
        Ok(text) => EnvFile::read(&text, is_ours),
        Err(error) if error.kind() == io::ErrorKind::NotFound => EnvFile::default(),
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => folder(),
        Err(error) => EnvFile::unreadable(format!("the file {ENV_FILE} cannot be read: {error}")),
    }
}

impl EnvFile {
    fn unreadable(why: String) -> Self {
        Self { unreadable: Some(why), ..Self::default() }
    }

    /// Reads the text of such a file.
    pub(super) fn read(bytes: &[u8], is_ours: impl Fn(&str) -> bool) -> Self {
        if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) || bytes.contains(&0) {
            return Self::unreadable(format!(
                "the file {ENV_FILE} is UTF-16, as > of an older PowerShell writes it; save it as UTF-8"
            ));
        }
        let mut file = Self::default();
        // What is not UTF-8 becomes a character by which it is known.
        let mut text = String::from_utf8_lossy(bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes)).into_owned();
        // Without it the reader would wait for more behind white space at the end.
        text.push('\n');
        let (mut rest, mut line) = (text.as_str(), 1);
        while let Some(first) = rest.split_inclusive('\n').next() {
            let mut count = 1;
            let written = first.trim_start();
            if !written.is_empty() && !written.starts_with('#') {
                let name = name(written);
                match variable(rest) {
                    Some((name, value, lines)) => {
                        count = lines;
                        // An apostrophe in one line and another further down make one value of all between them.
                        for (more, inside) in rest.split_inclusive('\n').take(lines).enumerate().skip(1) {
                            if let Some(swallowed) = assigned(inside).filter(|name| is_ours(name)) {
                                file.refuse(swallowed, line + more, SWALLOWED);
                            }
                        }
                        let raw: String = rest.split_inclusive('\n').take(lines).collect();
                        let why = if is_ours(&name) { fault(&raw) } else { None };
                        match why {
                            None => file.keep(name, value, line, &is_ours),
                            Some(why) => file.refuse(&name, line, why),
                        }
                    }
                    None if is_ours(name) => {
                        let other = if first.contains('=') { MALFORMED } else { "has no = behind its name" };
                        let why = fault(first).unwrap_or(other);
                        file.refuse(name, line, why);
                    }
                    None => file
                        .warnings
                        .push(format!("line {line} of the file {ENV_FILE} is no setting, and was passed over")),
                }
            }
            line += count;
            let length = rest.split_inclusive('\n').take(count).map(str::len).sum();
            rest = rest.get(length..).unwrap_or_default();
        }
        file
    }

    /// Keeps a value. The first of several counts, unless it is empty, as it is where the settings of an example were left as
    /// they are.
    fn keep(&mut self, name: String, value: String, line: usize, is_ours: impl Fn(&str) -> bool) {
        let is_nearly = || is_ours(&name.to_ascii_uppercase()) || name.starts_with("JWT_") || name.starts_with("JWKS_");
        if !is_ours(&name) && is_nearly() {
            self.warnings.push(format!(
                "{name} in line {line} of the file {ENV_FILE} is no setting of this server: is it misspelt?"
            ));
        }
        match self.variables.get(&name) {
            Some(Ok(first)) if first.is_empty() => {}
            Some(Ok(first)) if *first != value && is_ours(&name) => {
                let again = format!("{name} stands once more in line {line} of the file {ENV_FILE}: the first counts");
                return self.warnings.push(again);
            }
            Some(_) => return,
            None => {}
        }
        self.variables.insert(name, Ok(value));
    }

    /// Keeps why a setting cannot be read, unless it stands there already.
    fn refuse(&mut self, name: &str, line: usize, why: &str) {
        let why = format!("{name} in line {line} of the file {ENV_FILE} {why}");
        self.warnings.push(why.clone());
        self.variables.entry(name.to_owned()).or_insert(Err(why));
    }

    /// The value of a variable.
    ///
    /// # Errors
    /// When its line cannot be meant.
    pub(super) fn get(&self, name: &str) -> Result<Option<String>, Stop> {
        match self.variables.get(name) {
            None => Ok(None),
            Some(Ok(value)) => Ok(Some(value.clone())),
            Some(Err(why)) => Err(Stop::new(why)),
        }
    }

    /// What was passed over, for the log of a process that starts all the same.
    pub(super) fn warnings(self) -> Vec<String> {
        let more = self.warnings.len().saturating_sub(MAX_WARNINGS);
        let told = self.unreadable.map(|why| format!("{why}; it was passed over")).into_iter();
        let mut warnings: Vec<_> = told.chain(self.warnings.into_iter().take(MAX_WARNINGS)).collect();
        if more > 0 {
            warnings.push(format!("{more} more lines of the file {ENV_FILE} were passed over"));
        }
        warnings
    }
}

/// The name that a line seems to be about, whether or not it can be read.
fn name(line: &str) -> &str {
    let line = line.strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t'])).map_or(line, str::trim_start);
    let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(line.len());
    line.get(..end).unwrap_or_default()
}

/// The name of the variable that a line by itself would be about.
fn assigned(line: &str) -> Option<&str> {
    let before = line.split_once('=')?.0.trim();
    let name = name(before);
    (!name.is_empty() && before.ends_with(name)).then_some(name)
}

/// The first variable of a text that begins with one: its name, its value, and how many lines it takes.
fn variable(text: &str) -> Option<(String, String, usize)> {
    /// Hands out one line at a time and counts them: the reader of the format tells no line numbers.
    struct Lines<'a> {
        rest: &'a [u8],
        read: &'a Cell<usize>,
    }

    impl Read for Lines<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let line = self.rest.split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default();
            let length = line.len().min(buffer.len());
            if length == line.len() && length > 0 {
                self.read.set(self.read.get() + 1);
            }
            self.rest.read(buffer.split_at_mut(length).0)
        }
    }

    let read = Cell::new(0);
    let (name, value) = dotenvy::from_read_iter(Lines { rest: text.as_bytes(), read: &read }).next()?.ok()?;
    Some((name, value, read.get()))
}

/// Why the line of a setting, which the reader of the format takes, cannot be meant: another value than was written would come
/// of it.
fn fault(raw: &str) -> Option<&'static str> {
    let (_, value) = raw.split_once('=')?;
    if value.contains('\u{fffd}') {
        return Some("is not UTF-8");
    }
    let value = value.trim_end();
    if value.starts_with('#') {
        return Some("begins with a #, so that it would be empty: write the value in single quotes");
    }
    let (mut quote, mut is_escaped, mut has_begun, mut has_ended) = (None, false, false, false);
    for c in value.trim_start().chars() {
        match (quote, c) {
            (None, c) if is_escaped && c != '$' => {
                return Some(
                    "holds a backslash outside quotation marks, which would fall away: write the value in single quotes",
                );
            }
            _ if is_escaped => is_escaped = false,
            (Some('\''), '\'') | (Some('"'), '"') => (quote, has_ended) = (None, true),
            (None | Some('"'), '\\') => is_escaped = true,
            (None | Some('"'), '$') => {
                return Some(
                    "holds a $ outside single quotes, so that another variable would stand in its place: write the value in \
                     single quotes",
                );
            }
            // A comment may follow.
            (None, ' ' | '\t') => return None,
            (None, '\'' | '"') if has_begun => {
                return Some(
                    "holds a quotation mark in its middle, which would fall away: write the value in single quotes",
                );
            }
            (None, '\'' | '"') => quote = Some(c),
            (None, _) if has_ended => {
                return Some(
                    "goes on behind its quotation marks, which would fall away: write all of it in single quotes",
                );
            }
            _ => {}
        }
        has_begun = true;
    }
    is_escaped.then_some("ends with a backslash, which would fall away: write the value in single quotes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_ours(name: &str) -> bool {
        ["A", "B", "SECRET"].contains(&name)
    }

    fn read(text: impl AsRef<[u8]>) -> EnvFile {
        EnvFile::read(text.as_ref(), is_ours)
    }

    /// The value of a variable, or why there is none.
    fn get(file: &EnvFile, name: &str) -> Result<Option<String>, String> {
        file.get(name).map_err(|stop| stop.to_string())
    }

    #[test]
    fn what_is_nearly_a_setting_is_told() {
        let file = read("secret=x\nJWT_AUDIENC=a\nJWKS_URI=b\nOTHER=c\nA: d\n");
        let warned = |name: &str| file.warnings.iter().any(|warning| warning.starts_with(name));
        assert!(["secret in line 1 ", "JWT_AUDIENC in line 2 ", "JWKS_URI in line 3 "].into_iter().all(warned));
        assert!(!warned("OTHER") && file.warnings.len() == 4, "{:?}", file.warnings);
        assert!(get(&file, "A").unwrap_err().contains("has no ="));
    }

    #[test]
    fn a_file_is_read_as_others_read_it() {
        let file = read(
            "\u{feff}# note\n\nA=1\nexport B='x y' # note\nA=2\nC=\r\nD=\"two\nlines\"\n  E = x\nF=\"a\\$b\"\nG=x\\$y  ",
        );
        for (name, value) in
            [("A", "1"), ("B", "x y"), ("C", ""), ("D", "two\nlines"), ("E", "x"), ("F", "a$b"), ("G", "x$y")]
        {
            assert_eq!(get(&file, name).unwrap().as_deref(), Some(value), "{name}");
        }
        assert_eq!(get(&file, "H"), Ok(None));
        assert_eq!(file.warnings(), ["A stands once more in line 5 of the file .env: the first counts"]);
    }

    #[test]
    fn a_line_that_is_malformed_stops_whoever_needs_it_and_nobody_else() {
        for (text, line, is_ours) in [
            ("canary\nB=2\n", 1, false),
            ("# x\n\ncanary: x\nB=2\n", 3, false),
            ("X='canary\nB=2\n", 1, false),
            ("X=canary canary\nB=2", 1, false),
            ("X='x\ny'\n1canary=2\nB=2", 3, false),
            ("X='x\ny\nz'\r\nY=canary \"x\"\r\nB=2\r\n", 4, false),
            ("<<<<<<< canary\nB=2\n", 1, false),
            ("caf\u{e9}=canary\nB=2\n", 1, false),
            ("A=canary canary\nB=2\n", 1, true),
            ("A 'canary'\nB=2\n", 1, true),
            ("A: canary\nB=2\n", 1, true),
            ("X=1\n\n  export A='canary\nB=2\n", 3, true),
            ("A='canary' canary\nB=2\n", 1, true),
            ("A=cana\\ry\nB=2\n", 1, true),
        ] {
            let file = read(text);
            assert_eq!(get(&file, "B").unwrap().as_deref(), Some("2"), "{text:?}: what follows is read");
            let refused = get(&file, "A").err();
            assert_eq!(refused.is_some(), is_ours, "{text:?}: {refused:?}");
            let warnings = file.warnings();
            for told in refused.iter().chain(&warnings) {
                assert!(told.contains(&format!("line {line} ")) && !told.contains("canary"), "{text:?}: {told}");
            }
            assert_eq!(warnings.len(), 1, "{warnings:?}");
        }
        let noise = read("x y\n".repeat(5000) + "B=2");
        assert_eq!(get(&noise, "B").unwrap().as_deref(), Some("2"));
        let warnings = noise.warnings();
        assert_eq!((warnings.len(), warnings[10].starts_with("4990 more lines")), (11, true), "{warnings:?}");
    }

    #[test]
    fn a_line_that_would_become_another_value_stops_whoever_needs_it() {
        for text in [
            "SECRET=canary$x",
            "SECRET=canary$",
            "SECRET=$canary",
            "SECRET=${canary}",
            "SECRET=\"canary$x\"",
            "SECRET=\"canary${x}\"",
            "SECRET='canary'$x",
            "SECRET=#canary",
            "SECRET=cana\"ry\"",
            "SECRET=cana'ry'",
            "SECRET='cana''ry'",
            "export SECRET=canary$x # note",
            "SECRET='two\nlines'$canary",
            "SECRET=canary\\\\x",
            "SECRET=canary\\ x",
            "SECRET=canary\\'x",
            "SECRET='canary'x",
            "SECRET=\"canary\"x",
        ] {
            let file = read(format!("\n{text}\nB=2"));
            let told = get(&file, "SECRET").unwrap_err();
            let is_of_line = told.starts_with("SECRET in line 2 of the file .env ") && told.contains("single quotes");
            assert!(is_of_line && !told.contains("canary") && !told.contains("malformed"), "{text}: {told}");
            assert_eq!(get(&file, "B").unwrap().as_deref(), Some("2"));
            // Another program's own.
            let other = read(format!("{}\nB=2", text.replace("SECRET", "OTHER")));
            assert_eq!(get(&other, "B").unwrap().as_deref(), Some("2"), "{text}");
        }
        for (text, value) in [
            ("SECRET='a$b${c}#d\"e'", "a$b${c}#d\"e"),
            ("SECRET='a\\$b'", "a\\$b"),
            ("SECRET=a\\$b", "a$b"),
            ("SECRET=\"a\\$b\"", "a$b"),
            ("SECRET=a#b", "a#b"),
            ("SECRET=\"it's\"", "it's"),
            ("SECRET=a # costs $5, \"or so\"", "a"),
            ("SECRET=", ""),
            ("SECRET= # $none", ""),
            ("SECRET='a' # $5", "a"),
            ("SECRET=a=b==", "a=b=="),
        ] {
            let file = read(text);
            assert_eq!(get(&file, "SECRET").unwrap().as_deref(), Some(value), "{text}");
            assert!(file.warnings().is_empty(), "{text}");
        }
        let long = read(format!("X={}\nB=1\nSECRET=a$b\n", "x".repeat(20_000)));
        assert!(get(&long, "SECRET").unwrap_err().contains("line 3 "));
    }

    #[test]
    fn of_several_lines_the_first_that_says_something_counts_and_the_others_are_told() {
        let file = read("A=\nA=1\nA=1\nA=2\nC=x\nC=y\n");
        assert_eq!(get(&file, "A").unwrap().as_deref(), Some("1"));
        assert_eq!(file.warnings(), ["A stands once more in line 4 of the file .env: the first counts"]);
    }

    /// As in `MOTD=Don't`, and `NAME=it's` further down.
    #[test]
    fn a_setting_between_two_quotation_marks_of_others_stops_whoever_needs_it() {
        for (text, line) in [
            ("X=Don't\nA=canary\nY=it's\nB=2\n", 2),
            ("X=5\"\n\n  export A = canary\nY=6\"\nB=2\n", 3),
            ("X='a\nA=canary'\nB=2\n", 2),
        ] {
            let file = read(text);
            let told = get(&file, "A").unwrap_err();
            assert!(told.contains(&format!("line {line} ")) && told.contains("quotation"), "{told}");
            assert!(!told.contains("canary"), "{told}");
            assert_eq!(get(&file, "B").unwrap().as_deref(), Some("2"), "{text:?}");
        }
        let harmless = read("X='a\nAB=1\nwith A=2\n'\nA=3\n");
        assert_eq!(get(&harmless, "A").unwrap().as_deref(), Some("3"));
    }

    #[test]
    fn what_is_not_utf_8_is_told_by_what_it_is() {
        let wide = |order: fn(u16) -> [u8; 2]| "A=1\r\nB=2\r\n".encode_utf16().flat_map(order).collect::<Vec<_>>();
        for text in [
            [&[0xff, 0xfe], wide(u16::to_le_bytes).as_slice()].concat(),
            [&[0xfe, 0xff], wide(u16::to_be_bytes).as_slice()].concat(),
            wide(u16::to_le_bytes),
            wide(u16::to_be_bytes),
        ] {
            let file = read(&text);
            assert!(file.unreadable.as_ref().unwrap().contains("UTF-16"));
            assert_eq!(get(&file, "A"), Ok(None));
            assert_eq!(file.warnings().len(), 1);
        }
        let file = read(b"# caf\xe9\nX=caf\xe9\nA=caf\xe9\nB=2\n");
        assert!(get(&file, "A").unwrap_err().contains("line 3 of the file .env is not UTF-8"));
        assert_eq!(get(&file, "B").unwrap().as_deref(), Some("2"));
    }
}
