//! OpenAPI Object (§4.8.1), with its License Object and Components Object.

use crate::object::{Object, drop_empty, members, object, objects, rename_keys};
use crate::operation::path_item;
use crate::schema::{component_name, scalars, schema};
use crate::security_scheme::security_scheme;

/// OpenAPI Object (§4.8.1). Empty `servers` and `tags` say what their absence says.
pub(crate) fn openapi(root: &mut Object) {
    root.insert("openapi".into(), "3.1.0".into());
    drop_empty(root, "servers");
    drop_empty(root, "tags");
    if let Some(license) = object(root, "info").and_then(|info| object(info, "license")) {
        license_url(license);
    }
    if let Some(components) = object(root, "components") {
        for value in members(components, "schemas") {
            schema(value);
        }
        if let Some(schemas) = object(components, "schemas") {
            rename_keys(schemas, component_name);
        }
        for scheme in objects(components, "securitySchemes") {
            security_scheme(scheme);
        }
    }
    let scalars = scalars(root);
    for map in ["webhooks", "paths"] {
        for item in objects(root, map) {
            path_item(item, &scalars);
        }
    }
}

/// `{"identifier": …, "url": …}` → `{"identifier": …}`.
///
/// A License Object names an SPDX identifier or a URL, not both (§4.8.4). 3.0 has no `identifier`.
fn license_url(license: &mut Object) {
    if license.contains_key("identifier") {
        license.shift_remove("url");
    }
}
