//! The secret behind HS256: what it must be, the one of the development mode, and tokens made with it.

use std::fmt::{self, Write as _};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jsonwebtoken::crypto::aws_lc;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use tasks_api::UserId;

use crate::identity::claims::{MAX_EXP, now, subject};

/// A secret that signs and verifies tokens with HS256: at least 32 bytes (RFC 7518 §3.2).
#[derive(Clone)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// The fewest bytes of a secret: as many as the hash has.
    pub const MIN_BYTES: usize = 32;

    /// The secret of these bytes; `None` when they are fewer than [`Self::MIN_BYTES`].
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        (bytes.len() >= Self::MIN_BYTES).then_some(Self(bytes))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Why a token cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    /// `me` means the caller, whoever that is: no verifier takes it.
    #[error("a token cannot stand for `me`, which means the caller")]
    Subject,
    /// It would expire after the year 9999.
    #[error("a token must expire before the year 10000")]
    Lifetime,
    /// The cryptography failed.
    #[error("the token could not be signed")]
    Signing(#[source] jsonwebtoken::errors::Error),
}

/// A token (HS256) for `sub` that is good from now for `ttl`, in whole seconds: for development and tests, where no
/// issuer is at hand.
///
/// # Errors
/// Where no verifier would take the token, or it cannot be signed.
pub fn mint(
    secret: &Secret,
    sub: &UserId,
    ttl: Duration,
    issuer: Option<&str>,
    audience: Option<&str>,
) -> Result<String, MintError> {
    #[derive(Serialize)]
    struct Claims<'a> {
        sub: &'a str,
        iat: u64,
        exp: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        iss: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        aud: Option<&'a str>,
    }

    // Again and again is harmless.
    let _ = aws_lc::DEFAULT_PROVIDER.install_default();
    let sub = subject(sub.as_str()).ok_or(MintError::Subject)?;
    let iat = Duration::from_secs(now().as_secs());
    let exp = iat.checked_add(ttl).filter(|exp| exp.as_secs_f64() <= MAX_EXP).ok_or(MintError::Lifetime)?;
    let claims = Claims { sub: sub.as_str(), iat: iat.as_secs(), exp: exp.as_secs(), iss: issuer, aud: audience };
    let key = EncodingKey::from_secret(&secret.0);
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).map_err(MintError::Signing)
}

/// Why there is no development key.
#[derive(Debug, thiserror::Error)]
pub enum DevelopmentKeyError {
    /// The file can be neither read nor made.
    #[error("the development key {} cannot be read or made: {}", .0.display(), .1)]
    File(PathBuf, io::Error),
    /// The file holds something else.
    #[error("the development key {} is not 64 hexadecimal digits; delete it, and a new one is made", .0.display())]
    Content(PathBuf),
}

/// The key of the development mode: 32 random bytes, which the file at `path` holds as 64 hexadecimal digits. Made on
/// first use, readable by its owner only (0600, its directory 0700), and kept, so that tokens outlive a restart.
///
/// # Errors
/// When the file can be neither read nor made, or holds something else. The error names the file, never its content.
pub fn development_key(path: &Path) -> Result<Secret, DevelopmentKeyError> {
    let read = || fs::read_to_string(path);
    let text = match read() {
        Err(error) if error.kind() == ErrorKind::NotFound => make_key(path).and_then(|()| read()),
        outcome => outcome,
    };
    let text = text.map_err(|error| DevelopmentKeyError::File(path.to_owned(), error))?;
    from_hex(text.trim_ascii_end()).ok_or_else(|| DevelopmentKeyError::Content(path.to_owned()))
}

/// Puts a new key at `path`, unless another process was faster. The file is written beside its place and then linked
/// into it: nobody ever reads half a key, and all who start at once agree on one.
fn make_key(path: &Path) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        let mut builder = DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.recursive(true).create(directory)?;
    }
    let draft = path.with_extension(to_hex(&random::<8>()?));
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.write(true).create_new(true).open(&draft)?;
    let published = file
        .write_all(to_hex(&random::<{ Secret::MIN_BYTES }>()?).as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::hard_link(&draft, path));
    fs::remove_file(&draft)?;
    match published {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Random bytes, fit for keys.
fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| io::Error::other("the system gives no random bytes"))?;
    Ok(bytes)
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// The secret of exactly 64 hexadecimal digits.
fn from_hex(hex: &str) -> Option<Secret> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, []) = hex.as_bytes().as_chunks() else { return None };
    let bytes = pairs.iter().map(|&[high, low]| Some(digit(high)? << 4 | digit(low)?)).collect::<Option<Vec<_>>>()?;
    if bytes.len() == Secret::MIN_BYTES { Secret::new(bytes) } else { None }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    #[test]
    fn a_secret_has_32_bytes_and_is_not_shown() {
        assert!(Secret::new(vec![b'x'; 31]).is_none());
        assert_eq!(format!("{:?}", Secret::new(vec![b'x'; 32]).unwrap()), "Secret(…)");
    }

    #[test]
    fn the_development_key_is_made_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data").join("dev-key");
        let barrier = Barrier::new(8);
        let keys: Vec<_> = thread::scope(|scope| {
            let start = || {
                barrier.wait();
                development_key(&path).unwrap().0
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
        assert_eq!(keys[0].len(), 32);
        assert_eq!(development_key(&path).unwrap().0, keys[0]);
        assert_eq!(fs::read_to_string(&path).unwrap(), to_hex(&keys[0]));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no drafts stay");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        }
        let other = directory.path().join("other");
        assert_ne!(development_key(&other).unwrap().0, keys[0]);
    }

    #[test]
    fn a_spoilt_development_key_is_an_error_that_does_not_show_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("dev-key");
        let digits = "0123456789abcdef".repeat(4);
        fs::write(&path, format!("{}\n", digits.to_uppercase())).unwrap();
        assert_eq!(to_hex(&development_key(&path).unwrap().0), digits);
        for content in ["", "canary", &digits[1..], &digits[2..], &format!("{digits}00"), &digits.replace('0', "+")] {
            fs::write(&path, content).unwrap();
            let text = development_key(&path).unwrap_err().to_string();
            assert!(text.contains("the development key") && text.contains("dev-key"), "{text}");
            assert!(content.is_empty() || !text.contains(content), "{text}");
        }
        let text = development_key(directory.path()).unwrap_err().to_string();
        assert!(text.contains("the development key"), "{text}");
    }
}
