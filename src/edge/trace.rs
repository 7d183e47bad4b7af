//! The trace that a request belongs to (W3C Trace Context, level 1): taken from `traceparent`, told in the log.

use std::fmt;

use poem::http::{HeaderMap, HeaderName};

static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The id of a trace; never 0. Written as 32 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TraceId(pub(super) u128);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The span that asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parent {
    pub(super) trace: TraceId,
    /// Its id; never 0.
    pub(super) span: u64,
    /// Whether the caller may have recorded it: the lowest of the flags.
    pub(super) is_sampled: bool,
}

impl Parent {
    /// What the request says; `None` where it says nothing, or nothing that can be read, which is to be passed over.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        if !headers.contains_key(&TRACEPARENT) {
            return None;
        }
        let mut values = headers.get_all(&TRACEPARENT).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return None };
        let mut parts = value.to_str().ok()?.split('-');
        let [version, trace, span, flags] = [parts.next()?, parts.next()?, parts.next()?, parts.next()?];
        let number = |text: &str, length| {
            let is_hex = text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
            (text.len() == length && is_hex).then(|| u128::from_str_radix(text, 16).ok()).flatten()
        };
        // Versions to come may say more behind the four parts; the first says no more.
        match number(version, 2)? {
            0xff => return None,
            0 if parts.next().is_some() => return None,
            _ => {}
        }
        let id = |text, length| number(text, length).filter(|id| *id != 0);
        let trace = TraceId(id(trace, 32)?);
        Some(Self { trace, span: id(span, 16)?.try_into().ok()?, is_sampled: number(flags, 2)? & 1 == 1 })
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
            Parent::of(&headers)
        };
        let (trace, span) = ("0bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
        let good = format!("00-{trace}-{span}-01");
        let known = of(&[&good]).unwrap();
        assert_eq!(
            (known.trace.to_string().as_str(), known.span, known.is_sampled),
            (trace, 0x00f0_67aa_0ba9_02b7, true)
        );
        assert_eq!(of(&[&format!("01-{trace}-{span}-01-more")]), Some(known));
        for (flags, is_sampled) in [("00", false), ("02", false), ("03", true), ("ff", true)] {
            let parent = of(&[&format!("00-{trace}-{span}-{flags}")]);
            assert_eq!(parent, Some(Parent { is_sampled, ..known }), "{flags}");
        }
        for bad in [
            String::new(),
            good.to_uppercase(),
            format!("{good}-more"),
            good.replace("00-0", "ff-0"),
            good.replace(trace, &"0".repeat(32)),
            good.replace(span, &"0".repeat(16)),
            good.replace(trace, &trace[1..]),
            good.replace(trace, &format!("+{}", &trace[1..])),
            good.replace("-01", "-1"),
            good.replace("-01", "-0g"),
            good.replace("-01", ""),
            good.replace("0bf", "0bg"),
        ] {
            assert_eq!(of(&[&bad]), None, "{bad}");
        }
        assert_eq!(of(&[&good, &good]), None);
        assert_eq!(of(&[]), None);
    }
}
