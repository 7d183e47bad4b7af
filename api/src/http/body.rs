//! JSON in: the one extractor of request bodies.
//!
//! poem-openapi's own `Json` gives no pointers, and takes numbers for strings and the last of duplicate members. [`Body`]
//! reads with serde, says where a body is wrong, and keeps the schema of the type that it carries.

use std::fmt;
use std::marker::PhantomData;

use futures_util::StreamExt;
use poem::http::{Method, header};
use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaMediaType, MetaRequest, Registry};
use poem_openapi::types::Type;
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, DeserializeOwned, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::http::diagnosis::{Entries, Shape, Together, diagnose, in_our_words, pointer, wrong_count};
use crate::http::error::Error;
use crate::http::json::JSON;
use crate::http::newtype::never;
use crate::http::problem::Fault;

/// The longest body that most operations read, in bytes.
pub(crate) const MAX_BYTES: usize = 64 * 1024;

/// An object that a request carries.
pub(crate) trait RequestObject: Type + DeserializeOwned + Together {
    /// What no body at all stands for; `None` where a body is required.
    #[must_use]
    fn absent() -> Option<Self> {
        None
    }

    /// The members that the server alone sets: whoever sends one is told so.
    const READ_ONLY: &'static [&'static str];

    /// The media types in which it may come.
    const MEDIA_TYPES: &'static [&'static str] = &[JSON];

    /// What a required member is told that is not sent.
    const MISSING: &'static str = "is required";

    /// The longest body that is read, in bytes.
    const MAX_BYTES: usize = MAX_BYTES;

    /// The list in it, where it has one, of which each entry is looked at by itself.
    const LIST: Option<List> = None;

    /// What is wrong with it as a whole, where every part by itself is right.
    fn check(&self) -> Vec<Fault> {
        vec![]
    }
}

/// A list of objects in a [`RequestObject`].
pub(crate) struct List {
    name: &'static str,
    max: usize,
    close: fn(&mut Registry),
    shape: fn() -> Shape,
}

impl List {
    /// The list of this name, with at most so many entries of this type.
    pub(crate) const fn of<T: Type + DeserializeOwned + Together>(name: &'static str, max: usize) -> Self {
        Self { name, max, close: close::<T>, shape: || Shape::of::<T>("is required") }
    }
}

/// A value that is an object in JSON, where serde would take an array for a struct.
pub(crate) struct AsObject<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for AsObject<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Members(PhantomData))
    }
}

struct Members<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
    type Value = AsObject<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(members)).map(AsObject)
    }
}

/// The entries of a list, 1 to `MAX` objects. One too many ends the reading.
pub(crate) fn entries<'de, D, T, const MAX: usize>(from: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    from.deserialize_seq(Several::<T, MAX>(PhantomData))
}

struct Several<T, const MAX: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Several<T, MAX> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Vec<T>, A::Error> {
        let mut entries = Vec::new();
        while let Some(AsObject(entry)) = from.next_element()? {
            if entries.len() == MAX {
                return Err(de::Error::custom(wrong_count(MAX, "more")));
            }
            entries.push(entry);
        }
        if entries.is_empty() { Err(de::Error::custom(wrong_count(MAX, 0))) } else { Ok(entries) }
    }
}

/// The JSON body of a request, refused with the pointers of all that is wrong with it.
pub(crate) struct Body<T>(pub(crate) T);

impl<'a, T: RequestObject> ApiExtractor<'a> for Body<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        T::register(registry);
        close::<T>(registry);
        if let Some(list) = T::LIST {
            (list.close)(registry);
        }
    }

    fn request_meta() -> Option<MetaRequest> {
        // That `null` is taken for no body is not said: generated clients send the body that they are given, or refuse none.
        Some(MetaRequest {
            description: None,
            content: T::MEDIA_TYPES
                .iter()
                .map(|content_type| MetaMediaType { content_type, schema: T::schema_ref() })
                .collect(),
            required: T::absent().is_none(),
        })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let length = length_of(request);
        let body = body.take()?;
        // What the headers alone refuse is not asked for: hyper says `100 Continue` when a body is first looked at
        // (RFC 9110 §10.1.1).
        if length.is_some_and(|length| length > T::MAX_BYTES) {
            return Err(Error::BodyTooLarge(T::MAX_BYTES).into());
        }
        let absent = || T::absent().map(Self).ok_or_else(|| missing(T::MEDIA_TYPES));
        if let Err(refusal) = check_type(T::MEDIA_TYPES, request) {
            // No body has no type.
            return if is_empty(body, length).await? { Ok(absent()?) } else { Err(refusal.into()) };
        }
        let bytes = read(body, length, T::MAX_BYTES).await?;
        match trim(&bytes) {
            b"" => Ok(absent()?),
            // What clients in Go and Rust send for no body.
            b"null" if T::absent().is_some() => Ok(absent()?),
            _ => Ok(Self(parse(&bytes)?)),
        }
    }
}

/// The body of a request, of one of these media types and with at most so many bytes.
///
/// # Errors
/// [`Error::BodyTooLarge`], [`Error::UnsupportedMediaType`] and [`Error::UnsupportedEncoding`], by the headers alone where they say it;
/// [`Error::BodyTimedOut`] when it does not come.
pub(crate) async fn bytes(
    request: &mut Request,
    known: &'static [&'static str],
    limit: usize,
) -> Result<Vec<u8>, Error> {
    let length = length_of(request);
    if length.is_some_and(|length| length > limit) {
        return Err(Error::BodyTooLarge(limit));
    }
    check_type(known, request)?;
    read(request.take_body(), length, limit).await
}

/// How long the body is, where the headers say it.
fn length_of(request: &Request) -> Option<usize> {
    request.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The refusal of a request without the body that it needs.
fn missing(known: &[&str]) -> Error {
    let how = format!("is required: send a JSON object with the header Content-Type: {}", known.join(" or "));
    Error::invalid(Fault::body("", how))
}

/// What is between the white space of JSON (RFC 8259 §2).
fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] | [rest @ .., b' ' | b'\t' | b'\n' | b'\r'] = bytes {
        bytes = rest;
    }
    bytes
}

/// What is set aside for a body before any of it is here, in bytes.
const FIRST: usize = 8 * 1024;

/// The whole body, when it has at most `limit` bytes. Of a longer one the rest is left to the connection.
async fn read(body: poem::Body, length: Option<usize>, limit: usize) -> Result<Vec<u8>, Error> {
    let mut pieces = std::pin::pin!(body.into_bytes_stream());
    let mut bytes = Vec::with_capacity(length.unwrap_or_default().min(limit).min(FIRST));
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(broken)?;
        if bytes.len() + piece.len() > limit {
            return Err(Error::BodyTooLarge(limit));
        }
        if bytes.len() + piece.len() > bytes.capacity() {
            // At once to its end, of which only what comes is used: to grow step by step leaves holes behind.
            bytes.reserve_exact(length.unwrap_or(limit).min(limit).saturating_sub(bytes.len()));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// Whether nothing comes. Only where the headers do not say it, the body is looked at.
async fn is_empty(body: poem::Body, length: Option<usize>) -> Result<bool, Error> {
    if let Some(length) = length {
        return Ok(length == 0);
    }
    let mut pieces = std::pin::pin!(body.into_bytes_stream());
    while let Some(piece) = pieces.next().await {
        if !piece.map_err(broken)?.is_empty() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Why a body ends before its end: the server's own reason, or the client stopped sending and nobody is left to read the
/// answer.
fn broken(error: std::io::Error) -> Error {
    let own = error.into_inner().and_then(|cause| cause.downcast::<Error>().ok());
    own.map_or_else(|| Error::MalformedJson("the body ended early".to_owned()), |own| *own)
}

/// Refuses a request that does not say that its body is of one of these media types; parameters do not matter (RFC 8259
/// §11). Nothing here inflates what is compressed (RFC 9110 §8.4).
fn check_type(known: &'static [&'static str], request: &Request) -> Result<(), Error> {
    let mut codings = request.headers().get_all(header::CONTENT_ENCODING).iter();
    if !codings.all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(Error::UnsupportedEncoding);
    }
    let mut values = request.headers().get_all(header::CONTENT_TYPE).iter();
    let sent = match (values.next(), values.next()) {
        (Some(value), None) => value.as_bytes().split(|&b| b == b';').next().unwrap_or_default().trim_ascii(),
        _ => b"",
    };
    if known.iter().any(|known| sent.eq_ignore_ascii_case(known.as_bytes())) {
        return Ok(());
    }
    Err(Error::UnsupportedMediaType { known, is_patch: request.method() == Method::PATCH })
}

/// Says in the schema that unknown members are refused.
fn close<T: Type>(registry: &mut Registry) {
    if let Some(schema) = registry.schemas.get_mut(T::name().as_ref()) {
        schema.additional_properties = Some(Box::new(never()));
    }
}

/// Reads one JSON object.
///
/// # Errors
/// [`Error::MalformedJson`], or [`Error::Invalid`] with the pointers of all that is wrong.
pub(crate) fn parse<T: RequestObject>(bytes: &[u8]) -> Result<T, Error> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let first = match serde_path_to_error::deserialize::<_, AsObject<T>>(&mut json) {
        Ok(AsObject(value)) => {
            json.end().map_err(|error| malformed(&error))?;
            return check(value);
        }
        Err(error) => error,
    };
    let list = T::LIST.map(|list| Entries { name: list.name, max: list.max, shape: (list.shape)() });
    let faults = diagnose(bytes, &Shape::of::<T>(T::MISSING), T::READ_ONLY, list.as_ref());
    let mut faults = faults.map_err(|error| malformed(&error))?;
    if faults.is_empty() {
        faults.push(Fault::body(pointer(first.path()), in_our_words(&first.inner().to_string())));
    }
    faults.truncate(Error::MAX_FAULTS);
    Err(Error::Invalid(faults))
}

/// Whether what reads well makes sense.
fn check<T: RequestObject>(value: T) -> Result<T, Error> {
    let mut faults = value.check();
    faults.truncate(Error::MAX_FAULTS);
    if faults.is_empty() { Ok(value) } else { Err(Error::Invalid(faults)) }
}

fn malformed(error: &serde_json::Error) -> Error {
    Error::MalformedJson(format!("cannot be read as JSON: {error}"))
}
