//! What a request must say of itself so that nobody on its way reads it in two ways (RFC 9112 §3.2 and §6.1).

use poem::http::{HeaderMap, Version, header};
use tasks_api::{Error, Fault, Location};

/// Whether the request says once, and well, which host it is for, and that its body is in no coding but `chunked`.
///
/// # Errors
/// 400 or 501; the connection cannot be used any more, as what follows may not be what it seems.
pub(super) fn check(version: Version, headers: &HeaderMap) -> Result<(), Error> {
    let refuse = |detail: &str| Err(Error::invalid(Fault::parameter(Location::Header, "Host", detail)));
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        // The target has the host in HTTP/2 (RFC 9113 §8.3.1); before HTTP/1.1 there was none.
        (None, _) if version == Version::HTTP_11 => return refuse("is required; send the name of the server"),
        (Some(_), Some(_)) => return refuse("is sent twice; send it once"),
        (Some(host), None) if !is_host(host.as_bytes()) => {
            return refuse("must be a name or an address, with a port or without, such as example.com:8080");
        }
        _ => {}
    }
    if !headers.contains_key(header::TRANSFER_ENCODING) {
        return Ok(());
    }
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (Some(coding), None) if coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err(Error::TransferCoding),
    }
}

/// `uri-host [":" port]` (RFC 3986 §3.2.2), not empty and without percent-encoding, which no host on the web has.
fn is_host(value: &[u8]) -> bool {
    let is_port = |port: &[u8]| port.is_empty() || str::from_utf8(port).is_ok_and(is_port);
    if let Some(rest) = value.strip_prefix(b"[") {
        let Some(end) = rest.iter().position(|byte| *byte == b']') else { return false };
        let (address, rest) = rest.split_at(end);
        let is_address = str::from_utf8(address).is_ok_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok());
        return is_address && matches!(rest, [b']'] | [b']', b':', ..]) && is_port(rest.get(2..).unwrap_or_default());
    }
    let mut parts = value.splitn(2, |byte| *byte == b':');
    let (name, port) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+;=".contains(byte);
    !name.is_empty() && name.iter().all(is_name) && is_port(port)
}

/// Digits of a number that a port can have.
fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(version: Version, lines: &[(&'static str, &str)]) -> Option<u16> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        check(version, &headers).err().map(|error| error.code().status().as_u16())
    }

    #[test]
    fn hosts_are_one_name_or_address() {
        for good in ["a", "a.example", "a.example:80", "127.0.0.1:8080", "[::1]", "[::1]:8080", "a_b", "a:", "x--y.z"] {
            assert_eq!(judged(Version::HTTP_11, &[("host", good)]), None, "{good}");
            assert_eq!(judged(Version::HTTP_2, &[("host", good)]), None, "{good}");
        }
        for bad in [
            "", " ", "a b", "u@h", "h/evil", "a, b", "a,b", "a:b", "a:80:80", ":80", "[::1", "::1", "[::1]x", "[a]",
            "a?b", "a#b", "a\\b", "a:123456", "a:65536", "a%20b", "a%zz", "[::1]:x", "a\"b", "<a>",
        ] {
            assert_eq!(judged(Version::HTTP_11, &[("host", bad)]), Some(400), "{bad}");
            assert_eq!(judged(Version::HTTP_10, &[("host", bad)]), Some(400), "{bad}");
        }
        assert_eq!(judged(Version::HTTP_11, &[]), Some(400));
        assert_eq!(judged(Version::HTTP_10, &[]), None);
        assert_eq!(judged(Version::HTTP_2, &[]), None);
        assert_eq!(judged(Version::HTTP_11, &[("host", "a"), ("host", "a")]), Some(400));
    }

    #[test]
    fn bodies_are_chunked_once_or_not_at_all() {
        for good in ["chunked", "Chunked", " chunked "] {
            assert_eq!(judged(Version::HTTP_11, &[("host", "a"), ("transfer-encoding", good)]), None, "{good}");
        }
        for bad in ["gzip, chunked", "chunked, chunked", "identity", "xchunked", "", "chunked;q=1", "chunked,"] {
            assert_eq!(judged(Version::HTTP_11, &[("host", "a"), ("transfer-encoding", bad)]), Some(501), "{bad}");
        }
        let twice = [("host", "a"), ("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")];
        assert_eq!(judged(Version::HTTP_11, &twice), Some(501));
    }
}
