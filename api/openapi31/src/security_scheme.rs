//! Security Scheme Object (§4.8.27).

use crate::object::{Object, object, text};

/// Security Scheme Object (§4.8.27).
pub(crate) fn security_scheme(scheme: &mut Object) {
    bearer_format(scheme);
    if let Some(flows) = object(scheme, "flows") {
        for (name, flow) in flows {
            if let Some(flow) = flow.as_object_mut() {
                oauth_flow(name, flow);
            }
        }
    }
}

/// `"bearerFormat"` of a scheme that is not `bearer` → none.
///
/// It applies to `http` with `bearer` only (§4.8.27.1); poem-openapi writes it for `basic` too.
fn bearer_format(scheme: &mut Object) {
    if !text(scheme, "scheme").eq_ignore_ascii_case("bearer") {
        scheme.shift_remove("bearerFormat");
    }
}

/// A flow without `scopes` → `"scopes": {}`; a URL that the flow does not use → none.
///
/// `scopes` is required and may be empty (§4.8.29.1), where poem-openapi writes no empty map. The authorization URL
/// belongs to `implicit` and `authorizationCode`, the token URL to all but `implicit`.
fn oauth_flow(name: &str, flow: &mut Object) {
    if !matches!(name, "implicit" | "authorizationCode") {
        flow.shift_remove("authorizationUrl");
    }
    if name == "implicit" {
        flow.shift_remove("tokenUrl");
    }
    flow.entry("scopes").or_insert_with(|| Object::new().into());
}
