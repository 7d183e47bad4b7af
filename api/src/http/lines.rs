//! Lines out: an answer that is written while it is made.

use std::io;

use futures_util::TryStreamExt;
use futures_util::stream::BoxStream;
use poem::{Body, IntoResponse, Response};
use poem_openapi::payload::Payload;
use poem_openapi::registry::{MetaSchema, MetaSchemaRef};

use crate::http::error::Error;

/// The media type of JSON Lines.
pub(crate) const NDJSON: &str = "application/x-ndjson";

/// The text of lines, some at a time. Where they fail, the answer is cut: its connection, or in HTTP/2 its stream, ends without the
/// end of a body, so that nobody takes the part for the whole.
pub(crate) struct Lines(pub(crate) BoxStream<'static, Result<Vec<u8>, Error>>);

impl Payload for Lines {
    const CONTENT_TYPE: &'static str = NDJSON;

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema::new("string")))
    }
}

impl IntoResponse for Lines {
    fn into_response(self) -> Response {
        // Nobody reads the error: it was logged where it happened.
        let pieces = self.0.map_err(|_| io::Error::other("cut off"));
        Response::builder().content_type(NDJSON).body(Body::from_bytes_stream(pieces))
    }
}
