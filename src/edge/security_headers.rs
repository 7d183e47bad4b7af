//! What every answer tells browsers not to do with it (Fetch standard, "X-Content-Type-Options header"; Referrer Policy;
//! CSP Level 3 §6.4.2; RFC 6797).

use poem::http::{HeaderMap, HeaderValue, header};

const NO_SNIFFING: HeaderValue = HeaderValue::from_static("nosniff");
const NO_REFERRER: HeaderValue = HeaderValue::from_static("no-referrer");
const NO_FRAMES: HeaderValue = HeaderValue::from_static("frame-ancestors 'none'");
/// A year, and for this name alone: what else is below the domain is not the server's to decide.
const HTTPS_ONLY: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Adds them. A page that has a policy of its own says who may frame it there. `is_https`: whether the world finds the
/// server at an `https` address.
pub(super) fn add(headers: &mut HeaderMap, is_https: bool) {
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, NO_SNIFFING);
    headers.insert(header::REFERRER_POLICY, NO_REFERRER);
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(NO_FRAMES);
    if is_https {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HTTPS_ONLY);
    }
}
