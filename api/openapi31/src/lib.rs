#![doc = include_str!("../README.md")]
#![allow(clippy::doc_markdown, reason = "OpenAPI is the name of a standard, not of an item")]

mod document;
mod field;
mod object;
mod operation;
mod schema;
mod security_scheme;

use serde_json::Value;

/// The OpenAPI 3.1.0 form of `document`, an OpenAPI 3.0.0 document as poem-openapi writes it.
///
/// The walk follows the structure of the document and never searches by name. What stands inside `default`, `enum`, `example`, an
/// extension or under a property's name is data, and data stays as it is. Shapes that are not expected stay too. A second pass changes
/// nothing.
///
/// ```
/// use serde_json::json;
///
/// let document = poem_openapi_31::upgrade(json!({
///     "openapi": "3.0.0",
///     "info": { "title": "Things", "version": "1" },
///     "paths": {},
///     "components": { "schemas": { "Note": { "type": "string", "nullable": true } } },
/// }));
/// assert_eq!(document["openapi"], "3.1.0");
/// assert_eq!(document["components"]["schemas"]["Note"], json!({ "type": ["string", "null"] }));
/// ```
#[must_use]
pub fn upgrade(mut document: Value) -> Value {
    if let Some(root) = document.as_object_mut() {
        document::openapi(root);
    }
    document
}

/// The OpenAPI 3.1.0 document of a service.
///
/// ```
/// use poem_openapi::payload::Json;
/// use poem_openapi::{Object, OpenApi, OpenApiService};
///
/// #[derive(Object)]
/// struct Thing {
///     #[oai(nullable)]
///     note: Option<String>,
/// }
///
/// struct Things;
///
/// #[OpenApi]
/// impl Things {
///     #[oai(path = "/thing", method = "get")]
///     async fn thing(&self) -> Json<Thing> {
///         Json(Thing { note: None })
///     }
/// }
///
/// let service = OpenApiService::new(Things, "Things", "1");
/// let document = poem_openapi_31::document(&service);
/// let note = &document["components"]["schemas"]["Thing"]["properties"]["note"];
/// assert_eq!(note["type"], serde_json::json!(["string", "null"]));
/// ```
#[cfg(feature = "poem-openapi")]
#[must_use]
pub fn document<T: poem_openapi::OpenApi, W: poem_openapi::Webhook>(
    service: &poem_openapi::OpenApiService<T, W>,
) -> Value {
    // poem-openapi writes JSON; a text that is none would be a document of nothing.
    upgrade(serde_json::from_str(&service.spec()).unwrap_or_default())
}

#[cfg(test)]
mod tests;
