//! Secrets that are shared with the issuer: what one must be, that of the development mode, and tokens made with it.

use std::fmt::{self, Write as _};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use jsonwebtoken::crypto::aws_lc;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::Map;
use tasks_api::UserId;

use crate::identity::claims::{Expected, MAX_EXP, now, subject};

/// A secret that signs and verifies tokens: at least 32 bytes for HS256, 48 for HS384, 64 for HS512 (RFC 7518 §3.2).
#[derive(Clone)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// The fewest bytes of a secret: as many as the hash of HS256 has.
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

/// What a text is, when it is a key and no secret: whoever has the public one could sign, and a public key is published,
/// whatever it is written in. A private one has no place where tokens are only verified.
#[must_use]
pub fn key_in_place_of_secret(text: &str) -> Option<&'static str> {
    let text = text.trim();
    let begins = |beginning: &&str| text.get(..beginning.len()).is_some_and(|own| own.eq_ignore_ascii_case(beginning));
    if let Some(what) = pem_or_jwk(text) {
        Some(what)
    } else if ["ssh-rsa ", "ssh-dss ", "ssh-ed25519 ", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"].iter().any(begins)
        || ["AAAAB3NzaC1", "AAAAC3NzaC1", "AAAAE2VjZHNh"].iter().any(|blob| text.contains(blob))
    {
        Some("a key of SSH")
    } else if decode_any(text).is_some_and(|bytes| is_der(&bytes) || str::from_utf8(&bytes).is_ok_and(is_pem_or_jwk)) {
        Some("a key in base64")
    } else if decode_hex(text).is_some_and(|bytes| is_der(&bytes)) {
        Some("a key in hexadecimal digits")
    } else {
        None
    }
}

fn pem_or_jwk(text: &str) -> Option<&'static str> {
    let holds = |parts: &[&str]| parts.iter().any(|part| text.contains(part));
    // Also with its line breaks written as `\n`, and the second form (RFC 4716 §3.2).
    if holds(&["-----BEGIN", "-----END", "---- BEGIN ", "---- END "]) {
        return Some("a PEM");
    }
    // Wherever it stands, and however its quotes are written: a text that is nearly a JWK is no secret either.
    if holds(&["\"kty\"", "\\\"kty\\\"", "'kty'", "\"keys\"", "\\\"keys\\\""]) {
        return Some("a JWK");
    }
    // XML Signature's form, which .NET writes, and openssl's.
    holds(&["<RSAKeyValue", "<Modulus>", "Modulus="]).then_some("a public key")
}

fn is_pem_or_jwk(text: &str) -> bool {
    pem_or_jwk(text).is_some()
}

/// The bytes of base64 in either alphabet, with line breaks or without.
fn decode_any(text: &str) -> Option<Vec<u8>> {
    const ANY: GeneralPurposeConfig = GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let text = text.rsplit_once("base64:").or(text.rsplit_once("base64,")).map_or(text, |(_, text)| text);
    let text = text.replace("\\r", "").replace("\\n", "");
    // What was cut off may have left padding that fits nothing.
    let joined: String = text.split_ascii_whitespace().collect();
    let whole = joined.trim_end_matches('=');
    let whole = whole.get(..whole.len() - usize::from(whole.len() % 4 == 1)).unwrap_or(whole);
    [&alphabet::STANDARD, &alphabet::URL_SAFE]
        .into_iter()
        .find_map(|alphabet| GeneralPurpose::new(alphabet, ANY).decode(whole).ok())
}

/// The bytes of hexadecimal digits, also in pairs with colons between them.
fn decode_hex(text: &str) -> Option<Vec<u8>> {
    let digits: String = text.chars().filter(|c| !(c.is_ascii_whitespace() || *c == ':')).collect();
    let is_hex = digits.len().is_multiple_of(2) && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let byte = |place| u8::from_str_radix(digits.get(place..place + 2)?, 16).ok();
    if is_hex { (0..digits.len()).step_by(2).map(byte).collect() } else { None }
}

/// Whether it is a key or a certificate in DER (X.690 §8.9), perhaps cut off: one sequence, of an algorithm, a version or a modulus and more. Of
/// random bytes not one in 2^30 is.
fn is_der(bytes: &[u8]) -> bool {
    /// The content of a sequence, and what stands behind it.
    fn sequence(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
        let (length, rest, is_long) = match *bytes {
            [0x30, 0x82, high, low, ref rest @ ..] => (usize::from(high) << 8 | usize::from(low), rest, true),
            [0x30, 0x81, length, ref rest @ ..] => (usize::from(length), rest, true),
            [0x30, length @ 0..=0x7f, ref rest @ ..] => (usize::from(length), rest, false),
            _ => return None,
        };
        // A long one may have been cut off: two of its bytes tell it, where a short one has one.
        rest.split_at_checked(length).or(is_long.then_some((rest, &[])))
    }

    let Some((content, [])) = sequence(bytes) else { return false };
    match (content, sequence(content)) {
        // The algorithm of a public key, or the version of a certificate (RFC 5280 §4.1).
        (_, Some((first, _))) => first.starts_with(&[0x06]) || first.starts_with(&[0xa0, 0x03, 0x02, 0x01]),
        // A modulus of at least 128 bytes (RFC 8017 §A.1.1), or the version of a private key (RFC 5208 §5, RFC 5915 §3).
        _ => [&[0x02, 0x81][..], &[0x02, 0x82], &[0x02, 0x01, 0x00], &[0x02, 0x01, 0x01]]
            .into_iter()
            .any(|beginning| content.starts_with(beginning)),
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
    let audience = audience.into_iter().map(str::to_owned).collect();
    let expected = Expected { issuer: issuer.map(str::to_owned), audience, ..Expected::default() };
    mint_as_expected(secret, sub, ttl, &expected)
}

/// The same, with all that a server says it expects of a token.
///
/// # Errors
/// As [`mint`].
pub fn mint_as_expected(
    secret: &Secret,
    user: &UserId,
    ttl: Duration,
    expected: &Expected,
) -> Result<String, MintError> {
    // Again and again is harmless.
    let _ = aws_lc::DEFAULT_PROVIDER.install_default();
    let user = subject(user.as_str()).ok_or(MintError::Subject)?;
    let iat = Duration::from_secs(now().as_secs());
    let exp = iat.checked_add(ttl).filter(|exp| exp.as_secs_f64() <= MAX_EXP).ok_or(MintError::Lifetime)?;
    let mut claims = Map::new();
    claims.insert("iat".to_owned(), iat.as_secs().into());
    claims.insert("exp".to_owned(), exp.as_secs().into());
    if let Some(issuer) = &expected.issuer {
        claims.insert("iss".to_owned(), issuer.as_str().into());
    }
    if let Some(audience) = expected.audience.first() {
        claims.insert(expected.audience_claim.to_owned(), audience.as_str().into());
    }
    if let Some(verified) = expected.verified_claim() {
        claims.insert(verified.to_owned(), true.into());
    }
    // Last: where one claim is both, the user is who was asked for, and the audience is refused with its name.
    claims.insert(expected.user_claim.clone(), user.as_str().into());
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

    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

    use super::*;

    #[test]
    fn a_secret_has_32_bytes_and_is_not_shown() {
        assert!(Secret::new(vec![b'x'; 31]).is_none());
        assert_eq!(format!("{:?}", Secret::new(vec![b'x'; 32]).unwrap()), "Secret(…)");
    }

    #[test]
    fn a_key_is_told_from_a_secret_in_every_form() {
        let der = STANDARD.decode("MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=").unwrap();
        let body = STANDARD.encode(&der);
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n");
        let modulus = [[0x30, 0x82, 1, 10, 2, 0x82, 1, 1, 0].as_slice(), &[0xb5; 256], &[2, 3, 1, 0, 1]].concat();
        let certificate = [[0x30, 0x81, 133, 0x30, 0x81, 130, 0xa0, 3, 2, 1, 2].as_slice(), &[7; 125]].concat();
        let private = [[0x30, 46, 2, 1, 0, 0x30, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32].as_slice(), &[7; 32]].concat();
        let jwk = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
        for (text, what) in [
            (pem.clone(), "a PEM"),
            (pem.replace('\n', "\\n"), "a PEM"),
            (pem.replace('\n', " "), "a PEM"),
            (format!("# note\n{pem}"), "a PEM"),
            (pem.replace("PUBLIC KEY", "RSA PRIVATE KEY"), "a PEM"),
            (pem.replace("PUBLIC KEY", "CERTIFICATE"), "a PEM"),
            (pem.replace("PUBLIC KEY", "ANYTHING AT ALL"), "a PEM"),
            ("---- BEGIN SSH2 PUBLIC KEY ----\nAAAA".to_owned(), "a PEM"),
            (jwk.to_owned(), "a JWK"),
            (format!(" {{\"keys\": [{jwk}]}}\n"), "a JWK"),
            (r#"{"k":"AAAA","kty":"oct"}"#.to_owned(), "a JWK"),
            (format!("ssh-ed25519 {body} ada@example.com"), "a key of SSH"),
            (format!("ecdsa-sha2-nistp256 {body}"), "a key of SSH"),
            (body.clone(), "a key in base64"),
            (body.trim_end_matches('=').to_owned(), "a key in base64"),
            (format!("{}\n{}", &body[..30], &body[30..]), "a key in base64"),
            (format!("{}\\n{}", &body[..30], &body[30..]), "a key in base64"),
            (URL_SAFE_NO_PAD.encode(&der), "a key in base64"),
            (STANDARD.encode(&pem), "a key in base64"),
            (STANDARD.encode(jwk), "a key in base64"),
            (STANDARD.encode(&modulus), "a key in base64"),
            (STANDARD.encode(certificate), "a key in base64"),
            (STANDARD.encode(private), "a key in base64"),
            (format!("[{jwk}]"), "a JWK"),
            (format!("{{\"key\":{jwk}}}"), "a JWK"),
            (jwk.replace('}', ",}"), "a JWK"),
            (jwk.replace('"', "\\\""), "a JWK"),
            (jwk.replace('"', "'"), "a JWK"),
            (STANDARD.encode(format!("[{jwk}]")), "a key in base64"),
            (format!("{body}\n-----END PUBLIC KEY-----"), "a PEM"),
            (format!("base64:{body}"), "a key in base64"),
            (format!("data:application/octet-stream;base64,{body}"), "a key in base64"),
            (format!("{}\\r\\n{}", &body[..30], &body[30..]), "a key in base64"),
            (STANDARD.encode(&modulus[..100]), "a key in base64"),
            (format!("{}==", &STANDARD.encode(&modulus)[..101]), "a key in base64"),
            (to_hex(&der), "a key in hexadecimal digits"),
            (to_hex(&modulus), "a key in hexadecimal digits"),
            ("AAAAC3NzaC1lZDI1NTE5AAAAIDd0ov0AdoItSyJYm9rbDkXv7Fl4dCsPhNWsXsAtMKiB".to_owned(), "a key of SSH"),
            ("no-pty ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQ".to_owned(), "a key of SSH"),
            ("<RSAKeyValue><Modulus>xA7SEU+e0yQH5rm9kbCDN9o3aPIo7HbP</Modulus>".to_owned(), "a public key"),
        ] {
            assert_eq!(key_in_place_of_secret(&text), Some(what), "{text}");
        }
        for secret in [
            "0123456789abcdef0123456789abcdef",
            "django-insecure-0(=$k^!x*_m#2&q-----begin%8)w7v$z@e5r",
            r#"{"secret":"with braces and more than 32 bytes"}"#,
            "ssh and more than thirty-two bytes of it",
            "MCowBQYDK2VwAyEA",
            "the secret of the tests, 32 bytes and more",
            &"a".repeat(88),
        ] {
            assert_eq!(key_in_place_of_secret(secret), None, "{secret}");
        }
        // Secrets as openssl makes them, in base64 and in hexadecimal digits.
        for _ in 0..20_000 {
            let bytes = random::<64>().unwrap();
            let short: String = to_hex(&bytes).chars().take(64).collect();
            for secret in [STANDARD.encode(bytes), STANDARD.encode(&bytes[..32]), URL_SAFE_NO_PAD.encode(bytes), short]
            {
                assert_eq!(key_in_place_of_secret(&secret), None, "{secret}");
            }
        }
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
