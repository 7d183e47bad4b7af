//! What a value must be: from a text to what it means, or to nothing.

use std::net::{IpAddr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use reqwest::Url;
use tasks_api::PublicUrl;
use tracing_subscriber::EnvFilter;

use crate::edge::bind::Addresses;
use crate::edge::cors::{Cors, Origin};
use crate::edge::log::LogFormat;
use crate::identity::secret::Secret;
use crate::storage::settings::DatabaseTls;

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

/// An address that keys may come from: nobody on the way to it can change them.
pub(super) fn jwks_url(text: &str) -> Option<Url> {
    let url = Url::parse(&line(text)?).ok()?;
    let host = url.host_str()?;
    let is_loopback = match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(ip) => ip.to_canonical().is_loopback(),
        Err(_) => host == "localhost",
    };
    let is_safe = url.scheme() == "https" || (url.scheme() == "http" && is_loopback);
    let is_plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    (is_safe && is_plain).then_some(url)
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

pub(super) fn tls(text: &str) -> Option<DatabaseTls> {
    match text {
        "verified" => Some(DatabaseTls::Verified),
        "off" => Some(DatabaseTls::Off),
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
