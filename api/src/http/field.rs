//! Request headers: the one extractor of those that operations read.
//!
//! poem-openapi's own `Header` passes over values that are not ASCII and all but the first of several: a condition that
//! is overlooked is a write without one.

use poem::http::HeaderValue;
use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaParamIn, MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use crate::http::error::Error;
use crate::http::newtype::Invalid;
use crate::http::problem::{Fault, Location};

/// The value of a request header.
pub(crate) trait RequestField: Sized + Send {
    /// What the value must be.
    fn schema() -> MetaSchema;

    /// Reads the value; several headers of one name are one list (RFC 9110 §5.3).
    ///
    /// # Errors
    /// What to change about it.
    fn parse(value: &[u8]) -> Result<Self, Invalid>;
}

/// A header that a request may carry.
pub(crate) struct Field<T>(pub(crate) Option<T>);

impl<'a, T: RequestField> ApiExtractor<'a> for Field<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];
    type ParamType = ();
    type ParamRawType = ();

    fn register(_: &mut Registry) {}

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Header)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        Some(MetaSchemaRef::Inline(Box::new(T::schema())))
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let values: Vec<&[u8]> = request.headers().get_all(options.name).iter().map(HeaderValue::as_bytes).collect();
        if values.is_empty() {
            return Ok(Self(None));
        }
        let fault = |invalid: Invalid| Error::invalid(Fault::parameter(Location::Header, options.name, invalid.0));
        Ok(Self(Some(T::parse(&values.join(b", ".as_slice())).map_err(fault)?)))
    }
}

/// Judges every text of so many pieces by the check and by the schema.
#[cfg(test)]
pub(crate) fn assert_check_is_schema<T: RequestField>(pieces: &[&str], count: u32) {
    let schema = serde_json::json!({ "type": "string", "pattern": T::schema().pattern });
    let schema = jsonschema::validator_for(&schema).unwrap();
    let (mut texts, mut good) = (vec![String::new()], 0);
    for _ in 0..count {
        texts = texts.iter().flat_map(|text| pieces.iter().map(move |piece| format!("{text}{piece}"))).collect();
        for text in &texts {
            let is_good = T::parse(text.as_bytes()).is_ok();
            good += usize::from(is_good);
            assert_eq!(is_good, schema.is_valid(&serde_json::json!(text)), "{text:?}");
        }
    }
    assert!(good > 0 && good < texts.len());
}
