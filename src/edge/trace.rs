//! The trace that a request belongs to (W3C Trace Context, level 1): taken from `traceparent`, told in the log.

use poem::http::{HeaderMap, HeaderName};

static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The id of the trace, and of the span that asked: 32 and 16 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parent<'a> {
    pub(super) trace: &'a str,
    pub(super) span: &'a str,
}

impl<'a> Parent<'a> {
    /// What the request says; `None` where it says nothing, or nothing that can be read, which is to be passed over.
    pub(super) fn of(headers: &'a HeaderMap) -> Option<Self> {
        if !headers.contains_key(&TRACEPARENT) {
            return None;
        }
        let mut values = headers.get_all(&TRACEPARENT).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return None };
        let mut parts = value.to_str().ok()?.split('-');
        let [version, trace, span, flags] = [parts.next()?, parts.next()?, parts.next()?, parts.next()?];
        let is_hex = |text: &str, length| {
            text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
        };
        let is_id = |text: &str, length| is_hex(text, length) && text.bytes().any(|byte| byte != b'0');
        // Versions to come may say more behind the four parts; the first says no more.
        let is_known = is_hex(version, 2) && version != "ff" && (version != "00" || parts.next().is_none());
        (is_known && is_id(trace, 32) && is_id(span, 16) && is_hex(flags, 2)).then_some(Self { trace, span })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_standard_knows_is_a_parent() {
        let of = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("traceparent", value.parse().unwrap());
            }
            Parent::of(&headers).map(|parent| (parent.trace.to_owned(), parent.span.to_owned()))
        };
        let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
        let good = format!("00-{trace}-{span}-01");
        let known = Some((trace.to_owned(), span.to_owned()));
        assert_eq!(of(&[&good]), known);
        assert_eq!(of(&[&format!("01-{trace}-{span}-01-more")]), known);
        for bad in [
            String::new(),
            good.to_uppercase(),
            format!("{good}-more"),
            good.replace("00-4", "ff-4"),
            good.replace(trace, &"0".repeat(32)),
            good.replace(span, &"0".repeat(16)),
            good.replace(trace, &trace[1..]),
            good.replace("-01", "-1"),
            good.replace("-01", ""),
            good.replace("4bf", "4bg"),
        ] {
            assert_eq!(of(&[&bad]), None, "{bad}");
        }
        assert_eq!(of(&[&good, &good]), None);
        assert_eq!(of(&[]), None);
    }
}
