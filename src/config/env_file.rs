//! The file `.env` of the working directory.

use std::cell::Cell;
use std::collections::HashMap;
use std::fs;
use std::io::{self, Read};

use crate::config::stop::Stop;

/// The file of variables in the working directory.
const ENV_FILE: &str = ".env";

/// Its variables; none where there is no such file.
///
/// # Errors
/// When it cannot be read, or in which line it is malformed.
pub(super) fn load() -> Result<HashMap<String, String>, Stop> {
    match fs::read(ENV_FILE) {
        Ok(text) => env_file(&text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(HashMap::new()),
        Err(error) => Err(Stop::new(format!("the file {ENV_FILE} cannot be read: {error}"))),
    }
}

/// The variables of a `.env` file; of several of one name the first counts.
pub(super) fn env_file(text: &[u8]) -> Result<HashMap<String, String>, Stop> {
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
    let rest = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
    let mut variables = HashMap::new();
    for variable in dotenvy::from_read_iter(Lines { rest, read: &read }) {
        let (name, value) = variable.map_err(|error| {
            // Its text would repeat the file's.
            let lines = match error {
                dotenvy::Error::LineParse(text, _) => text.lines().count().max(1),
                _ => 1,
            };
            Stop::new(format!("the file {ENV_FILE} is malformed in line {}", (read.get() + 1).saturating_sub(lines)))
        })?;
        variables.entry(name).or_insert(value);
    }
    Ok(variables)
}
