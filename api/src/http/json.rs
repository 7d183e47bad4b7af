//! JSON out: the one payload of answers.
//!
//! poem-openapi's own `Json` writes through an intermediate tree. [`Json`] writes straight into the answer's buffer, and
//! keeps the schema of the type that it carries.

use poem::{IntoResponse, Response};
use poem_openapi::payload::Payload;
use poem_openapi::registry::{MetaSchemaRef, Registry};
use poem_openapi::types::Type;
use serde::Serialize;

/// The media type of bodies and answers (RFC 8259 §11).
pub(crate) const JSON: &str = "application/json";

/// The media type of a JSON merge patch (RFC 7396 §4).
pub(crate) const MERGE_PATCH: &str = "application/merge-patch+json";

/// The JSON body of an answer.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: Type> Payload for Json<T> {
    const CONTENT_TYPE: &'static str = JSON;

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: Written + Send> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        Response::builder().content_type(JSON).body(write_json(&self.0))
    }
}

/// What an answer carries.
pub(crate) trait Written: Serialize {
    /// About how many bytes its text has: what is much longer than it says is copied as it grows.
    fn length(&self) -> usize {
        1024
    }

    /// Writes the text, which is that of [`Serialize`].
    ///
    /// # Errors
    /// Those of [`serde_json`].
    fn write(&self, text: &mut Vec<u8>) -> serde_json::Result<()> {
        serde_json::to_writer(text, self)
    }
}

/// JSON text. Our answers hold texts, numbers and named members only, which cannot fail to be written.
pub(crate) fn write_json<T: Written>(value: &T) -> Vec<u8> {
    let mut text = Vec::with_capacity(value.length());
    match value.write(&mut text) {
        Ok(()) => text,
        Err(error) => {
            tracing::error!(%error, "an answer could not be written as JSON");
            Vec::new()
        }
    }
}
