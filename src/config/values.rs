//! What a value must be: from a text to what it means, or to nothing.

use std::net::{IpAddr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use reqwest::Url;
use tasks_api::PublicUrl;
use tracing_subscriber::EnvFilter;

use crate::edge::bind::Addresses;
use crate::edge::cors::{Cors, Origin};
use crate::edge::log::LogFormat;
use crate::identity::claims::Expected;
use crate::identity::key_set::is_loopback;
use crate::identity::secret::Secret;

/// A whole number in decimal digits, without a sign.
pub(super) fn number<T: FromStr + PartialOrd>(text: &str, range: RangeInclusive<T>) -> Option<T> {
    let number = text.bytes().all(|byte| byte.is_ascii_digit()).then_some(text)?.parse().ok()?;
    range.contains(&number).then_some(number)
}

pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "on" | "1" => Some(true),
        "false" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// What can be listened on: no other name than `localhost`, whose addresses would be whatever a resolver says today.
pub(super) fn addresses(text: &str) -> Option<Addresses> {
    match text.strip_prefix("localhost:") {
        Some(port) => number(port, 0..=u16::MAX).map(Addresses::Localhost),
        None => text.parse().ok().map(Addresses::One),
    }
}

/// Where the world finds the server. Its path stands in addresses, pages and scripts, so it has only what needs no encoding
/// in any of them.
pub(super) fn public_url(text: &str) -> Option<PublicUrl> {
    let url = Url::parse(&line(text)?).ok()?;
    let path = url.path().trim_end_matches('/');
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let is_path = path.split('/').skip(1).all(|segment| !segment.is_empty() && segment.bytes().all(is_plain));
    // What the parser makes of dots and backslashes is not what was written.
    let (_, written) = text.split_once("://")?;
    let written = written.find('/').and_then(|start| written.get(start..)).unwrap_or_default().trim_end_matches('/');
    let has_more = text.contains(['@', '?', '#']);
    let is_web = ["http", "https"].contains(&url.scheme());
    (is_web && is_path && written == path && !has_more)
        .then(|| PublicUrl { origin: url.origin().ascii_serialization(), prefix: path.to_owned() })
}

/// A text that is not empty and has no line breaks or other control characters.
pub(super) fn line(text: &str) -> Option<String> {
    (!text.is_empty() && !text.contains(char::is_control)).then(|| text.to_owned())
}

/// An address of a kind of database that is known; the database reads the rest.
pub(super) fn database_url(text: &str) -> Option<String> {
    let is_known = ["postgresql://", "postgres://", "sqlite:"].iter().any(|scheme| text.starts_with(scheme));
    line(text).filter(|_| is_known)
}

/// The name of a schema that may be ours: PostgreSQL cuts longer ones off and keeps `pg_…` for itself.
pub(super) fn schema(text: &str) -> Option<String> {
    let is_own = !text.starts_with("pg_") && text != "information_schema";
    line(text).filter(|name| name.len() <= 63 && is_own)
}

/// An address that keys can come from. Whether nobody on the way to it can change them is for another setting to say.
pub(super) fn jwks_url(text: &str) -> Option<Url> {
    let url = Url::parse(&line(text)?).ok()?;
    let is_web = ["https", "http"].contains(&url.scheme()) && url.has_host();
    let is_plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    let is_one = text.matches("://").nth(1).is_none();
    // What the parser makes of other spellings is not what was written.
    let is_written =
        text.split_once("://").is_some_and(|(_, rest)| !rest.starts_with(['/', '\\']) && !rest.contains(' '));
    (is_web && is_plain && is_one && is_written).then_some(url)
}

/// A public key, or where it is: what it holds is read by whoever knows keys.
pub(super) fn public_key(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// One issuer. A list of them would be an issuer that no token names.
pub(super) fn issuer(text: &str) -> Option<String> {
    let is_name = |part: &str| !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || c == '=');
    let is_host = |part: &str| is_name(part.trim()) && part.contains('.');
    let all = |is: &dyn Fn(&str) -> bool| text.split(',').all(is);
    let is_list = text.contains(',') && (text.ends_with(',') || all(&is_name) || all(&is_host));
    let is_spaced_list = text.contains(' ') && text.split(' ').all(|part| part.contains('.'));
    // The address of what describes an issuer is not the issuer, and one without a host is none.
    let is_other = text.ends_with("/.well-known/openid-configuration")
        || text.split_once("://").is_some_and(|(_, rest)| rest.is_empty() || rest.starts_with('/'));
    line(text).filter(|_| !(is_list || is_spaced_list || is_other || is_several(text)))
}

/// Whether a name or address holds what stands between or around several of them.
fn is_several(text: &str) -> bool {
    text.matches("://").nth(1).is_some() || text.contains([';', '|']) || text.starts_with(['[', '{', '('])
}

/// Audiences, none of them empty.
pub(super) fn audiences(text: &str) -> Option<Vec<String>> {
    let item = |item: &str| line(item.trim_ascii()).filter(|item| !is_several(item) && oddity(item).is_none());
    text.split(',').map(item).collect()
}

/// Issuers of authorization servers (RFC 8414 §2).
pub(super) fn authorization_servers(text: &str) -> Option<Vec<String>> {
    let item = |item: &str| authorization_server(item.trim_ascii()).then(|| item.trim_ascii().to_owned());
    let mut servers: Vec<_> = text.split(',').map(item).collect::<Option<_>>()?;
    servers.dedup();
    Some(servers)
}

/// Whether it is the issuer of an authorization server: an address to which `/.well-known/…` can be added. Without TLS whoever is on the
/// way to it could be one.
pub(super) fn authorization_server(text: &str) -> bool {
    let is_plain = !text.contains(['?', '#', '@'])
        && !text.contains("/.well-known/")
        && !is_several(text)
        && issuer(text).is_some();
    let url = Url::parse(text).ok().filter(|url| is_plain && url.has_host());
    url.is_some_and(|url| url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url)))
}

/// The claims that audiences may stand in.
pub(super) fn audience_claim(text: &str) -> Option<&'static str> {
    ["aud", "client_id", "azp"].into_iter().find(|known| *known == text)
}

/// A claim that can name users.
pub(super) fn user_claim(text: &str) -> Option<String> {
    let is_one = !text.contains([',', ' ', ';', '|', '[', ']', '{', '}', '(', ')']);
    line(text).filter(|name| is_one && Expected::can_name_users(name))
}

/// Why a value cannot be meant, though it may be one: what stood around it was taken for a part of it, or what should have been
/// replaced was not. The end of a sentence that begins with the setting; `None` when nothing is wrong.
pub(super) fn oddity(text: &str) -> Option<&'static str> {
    // Some that nobody sees are no white space to Unicode.
    let is_space = |c: char| c.is_whitespace() || ['\u{200b}', '\u{2060}', '\u{feff}'].contains(&c);
    let is_quote = |c: char| "\"'`\u{201c}\u{201d}\u{201e}\u{2018}\u{2019}".contains(c);
    if text.starts_with(is_space) || text.ends_with(is_space) {
        Some("begins or ends with white space or a line break, which would be a part of it: take it away")
    } else if text.starts_with(is_quote) || text.ends_with(is_quote) {
        Some("begins or ends with a quotation mark, which would be a part of it: take it away")
    } else if text.ends_with("\\n") || text.ends_with("\\r") {
        Some("ends with a line break written as two characters, which would be a part of it: take it away")
    } else if begins_with_a_setting(text) {
        Some("begins with the name of a setting and =, which would be a part of it: take it away")
    } else if is_reference(text) {
        Some("is the name of a variable behind a $, in whose place nothing was put")
    } else if is_blank(text) {
        Some("is a blank of a template, in which nothing was filled")
    } else {
        None
    }
}

/// As [`oddity`], for values in which `${…}` means nothing, as in addresses and names; in a secret it may be by chance.
pub(super) fn oddity_of_name(text: &str) -> Option<&'static str> {
    let holds_reference =
        text.split("${").skip(1).any(|rest| rest.split_once('}').is_some_and(|(name, _)| is_variable(name)));
    oddity(text).or(holds_reference.then_some("holds the name of a variable as ${…}, in whose place nothing was put"))
}

/// As [`oddity`], for secrets.
pub(super) fn oddity_of_secret(text: &str) -> Option<&'static str> {
    const EXAMPLES: [&str; 2] =
        ["better-auth-secret-12345678901234567890", "your-super-secret-jwt-token-with-at-least-32-characters-long"];
    let begins = |beginnings: &[&str]| beginnings.iter().any(|beginning| text.starts_with(beginning));
    let mut kinds: Vec<char> = text.chars().collect();
    kinds.sort_unstable();
    kinds.dedup();
    if begins(&["vault:", "arn:aws:", "@Microsoft.KeyVault(", "/run/secrets/"]) || is_address(text) {
        Some("is an address or a place and no secret: give what stands there")
    } else if Path::new(text).is_file() {
        Some("is the path of a file: give what stands in it")
    } else if begins(&["Bearer ", "bearer "]) || is_token(text) {
        Some("is a token, which many have, and not the secret that it was signed with")
    } else if begins(&["pk_live_", "pk_test_", "sb_publishable_"]) {
        Some("is a key that is published, and no secret")
    } else if EXAMPLES.contains(&text) {
        Some("is the example of a documentation, which everybody knows: make one of your own")
    } else if let Some(reason) = oddity(text) {
        Some(reason)
    } else if text.contains(['\r', '\n']) {
        Some("has a line break in it, and what stands behind that would be a part of it: take it away")
    } else if kinds.len() < 8 && text.len() >= Secret::MIN_BYTES {
        Some("has fewer than 8 different characters, and can be guessed: make a random one")
    } else {
        None
    }
}

/// Whether it begins as an address does: `scheme://`.
fn is_address(text: &str) -> bool {
    let is_scheme =
        |scheme: &str| !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'+');
    text.split_once("://").is_some_and(|(scheme, _)| is_scheme(scheme))
}

/// Whether it has the form of a token (RFC 7515 §7.1).
fn is_token(text: &str) -> bool {
    let is_part = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    text.starts_with("eyJ") && text.split('.').count() == 3 && text.split('.').all(is_part)
}

/// As [`oddity_of_name`], for addresses and names of the issuer's, in which a bracket means nothing either.
pub(super) fn oddity_of_address(text: &str) -> Option<&'static str> {
    let holds_variable = || text.split('$').skip(1).any(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()));
    if let Some(reason) = oddity_of_name(text) {
        Some(reason)
    } else if text.contains(['{', '}', '<', '>']) {
        Some("holds a blank of a template, in which nothing was filled")
    } else if holds_variable() {
        Some("holds the name of a variable behind a $, in whose place nothing was put")
    } else {
        None
    }
}

/// Whether a whole line of a settings file stands where its value should.
fn begins_with_a_setting(text: &str) -> bool {
    let is_setting = |name: &str| {
        name.contains('_') && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_') && name.len() >= 6
    };
    text.split_once('=').is_some_and(|(name, _)| is_setting(name))
}

/// Whether a text is nothing but the blank of a template: `{{ name }}`, `${{ name }}`, `<%= name %>`, `#{name}`, `<name>`, `%NAME%`,
/// `__NAME__`, `@NAME@`.
fn is_blank(text: &str) -> bool {
    let within = |open, close| text.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
    [("{{", "}}"), ("${{", "}}"), ("<%", "%>"), ("#{", "}"), ("<", ">")]
        .into_iter()
        .any(|(open, close)| within(open, close).is_some_and(|name| !name.trim().is_empty()))
        || ["%", "__", "@"].into_iter().any(|edge| within(edge, edge).is_some_and(is_variable))
}

/// Whether a text is nothing but `$NAME`, `${NAME}` or `$(command)`.
fn is_reference(text: &str) -> bool {
    let Some(rest) = text.strip_prefix('$') else { return false };
    let within = |open, close| rest.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
    is_variable(rest)
        || within('{', '}').is_some_and(is_variable)
        || within('(', ')').is_some_and(|name| !name.is_empty())
}

/// Whether it is the name of a variable, with a default or without (POSIX Shell §2.6.2).
fn is_variable(text: &str) -> bool {
    let name = text.split([':', '-', '?', '+', '=']).next().unwrap_or_default();
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(is_word)
}

pub(super) fn cors(text: &str) -> Option<Cors> {
    if text == "*" {
        return Some(Cors::Any);
    }
    let item = |item: &str| if item.contains('*') { pattern(item) } else { origin(item) };
    text.split(',').map(|text| item(text.trim_ascii())).collect::<Option<_>>().map(Cors::Origins)
}

/// A pattern of origins: one star in the first label of a name. With two labels behind it, it is below a domain that
/// somebody has, as long as that is no suffix under which all the world has names.
fn pattern(text: &str) -> Option<Origin> {
    let (before, after) = text.split_once('*')?;
    let (_, first) = before.split_once("://")?;
    let (rest, domain) = after.split_once('.')?;
    let domain = domain.split(':').next().unwrap_or_default();
    let is_below = domain.split('.').count() >= 2 && domain.split('.').all(|label| !label.is_empty());
    let is_first = !first.contains('.') && !rest.contains(':');
    let is_origin = origin(&format!("{before}x{after}")).is_some();
    // What ends in a number is an IPv4 address, as browsers read it (URL standard, "ends in a number").
    let is_name = domain.rsplit('.').next().is_some_and(|label| label.contains(|c: char| !c.is_ascii_digit()));
    (is_below && is_first && is_origin && is_name).then(|| Origin::Between(before.to_owned(), after.to_owned()))
}

/// An origin exactly as a browser writes it (RFC 6454 §6.2): any other spelling would never equal a request's.
fn origin(text: &str) -> Option<Origin> {
    let (scheme, authority) = text.split_once("://")?;
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let is_plain = |text: &str, more: &[u8]| {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || more.contains(&byte);
        text.bytes().all(is_plain) && text.starts_with(|first: char| first.is_ascii_alphanumeric())
    };
    let is_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(ip) => ip.parse().is_ok_and(|parsed: Ipv6Addr| parsed.to_string() == ip),
        None => is_plain(host, b".-_"),
    };
    let is_port = port.is_none_or(|port| {
        let is_default = matches!((scheme, port), ("http", "80") | ("https", "443"));
        !is_default && !port.starts_with('0') && number(port, 1..=u16::MAX).is_some()
    });
    (is_plain(scheme, b"+-.") && is_host && is_port).then(|| Origin::Exact(text.to_owned()))
}

/// A span of time such as `30s`, `15m`, `1h` or `7d`, from one second to 365 days.
pub(super) fn ttl(text: &str) -> Option<Duration> {
    const MAX: u64 = 365 * 24 * 60 * 60;
    [('s', 1), ('m', 60), ('h', 60 * 60), ('d', 24 * 60 * 60)].into_iter().find_map(|(unit, seconds)| {
        let count = number(text.strip_suffix(unit)?, 1..=MAX / seconds)?;
        Some(Duration::from_secs(count * seconds))
    })
}

/// The name of a role that may be the server's: PostgreSQL keeps some for itself.
pub(super) fn role(text: &str) -> Option<String> {
    schema(text).filter(|name| !["public", "none"].contains(&name.as_str()))
}

pub(super) fn seconds(text: &str, range: RangeInclusive<u64>) -> Option<Duration> {
    number(text, range).map(Duration::from_secs)
}

pub(super) fn secret(text: &str) -> Option<Secret> {
    Secret::new(text.into())
}

/// How a connection is made safe: so, or so.
pub(super) fn mode<T>(text: &str, verified: T, off: T) -> Option<T> {
    match text {
        "verified" => Some(verified),
        "off" => Some(off),
        _ => None,
    }
}

pub(super) fn log_format(text: &str) -> Option<LogFormat> {
    match text {
        "auto" => Some(LogFormat::Auto),
        "text" => Some(LogFormat::Text),
        "json" => Some(LogFormat::Json),
        _ => None,
    }
}

/// What [`EnvFilter`] reads.
pub(super) fn log_filter(text: &str) -> Option<String> {
    EnvFilter::builder().parse(text).is_ok_and(|_| !text.is_empty()).then(|| text.to_owned())
}

/// Networks, or addresses that stand for themselves.
pub(super) fn networks(text: &str) -> Option<Vec<IpNet>> {
    let network = |text: &str| text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    text.split(',').map(|text| network(text.trim_ascii())).collect()
}
