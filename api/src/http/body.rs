//! JSON in: the one extractor of request bodies.
//!
//! poem-openapi's own `Json` gives no pointers, and takes numbers for strings and the last of duplicate members. [`Body`]
//! reads with serde, says where a body is wrong, and keeps the schema of the type that it carries.

use std::marker::PhantomData;
use std::{fmt, slice};

use futures_util::StreamExt;
use poem::http::header;
use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaMediaType, MetaRequest, MetaSchema, Registry};
use poem_openapi::types::Type;
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use serde_path_to_error::Segment;

use crate::http::error::{Error, Fault};
use crate::http::json::JSON;
use crate::http::newtype::never;

/// The longest body that most operations read, in bytes.
pub(crate) const MAX_BYTES: usize = 64 * 1024;

/// An object that a request carries.
pub(crate) trait RequestObject: Type + DeserializeOwned {
    /// What no body at all stands for; `None` where a body is required.
    #[must_use]
    fn absent() -> Option<Self> {
        None
    }

    /// The members that the server alone sets: whoever sends one is told so.
    const READ_ONLY: &'static [&'static str];

    /// The media types in which it may come.
    const MEDIA_TYPES: &'static [&'static str] = &[JSON];

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
    find_faults: fn(&[Value], &str, &[&str], &mut Vec<Fault>),
}

impl List {
    /// The list of this name, with at most so many entries of this type.
    pub(crate) const fn of<T: Type + DeserializeOwned>(name: &'static str, max: usize) -> Self {
        Self { name, max, close: close::<T>, find_faults: find_faults::<T> }
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
        let length = request.headers().get(header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        let bytes = read(body.take()?, length, T::MAX_BYTES).await?;
        if bytes.is_empty()
            && let Some(absent) = T::absent()
        {
            return Ok(Self(absent));
        }
        if !is_one_of(T::MEDIA_TYPES, request) {
            return Err(Error::UnsupportedMediaType(T::MEDIA_TYPES).into());
        }
        Ok(Self(parse(&bytes)?))
    }
}

/// The whole body, when it has at most `limit` bytes.
///
/// Of a longer one a little more is read and thrown away: most clients read the answer only after they have sent all,
/// and a connection that is closed under them would be all they see.
async fn read(body: poem::Body, length: Option<usize>, limit: usize) -> Result<Vec<u8>, Error> {
    const PATIENCE: usize = 1024 * 1024;
    if length.is_some_and(|length| length > PATIENCE) {
        return Err(Error::BodyTooLarge(limit));
    }
    let mut pieces = std::pin::pin!(body.into_bytes_stream());
    let (mut bytes, mut count) = (Vec::new(), 0);
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(broken)?;
        count += piece.len();
        if count <= limit {
            bytes.extend_from_slice(&piece);
        } else if count > PATIENCE {
            break;
        }
    }
    if count > limit { Err(Error::BodyTooLarge(limit)) } else { Ok(bytes) }
}

/// Why a body ends before its end: the server's own reason, or the client stopped sending and nobody is left to read the
/// answer.
fn broken(error: std::io::Error) -> Error {
    let own = error.into_inner().and_then(|cause| cause.downcast::<Error>().ok());
    own.map_or_else(|| Error::MalformedJson("the body ended early".to_owned()), |own| *own)
}

/// Whether the request says that its body is of one of these media types; parameters do not matter (RFC 8259 §11). What
/// is compressed is of none: nothing here inflates it (RFC 9110 §8.4).
fn is_one_of(media_types: &[&str], request: &Request) -> bool {
    if request.headers().contains_key(header::CONTENT_ENCODING) {
        return false;
    }
    let mut values = request.headers().get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let sent = value.as_bytes().split(|&b| b == b';').next().unwrap_or_default().trim_ascii();
    media_types.iter().any(|known| sent.eq_ignore_ascii_case(known.as_bytes()))
}

/// Says in the schema that unknown members are refused.
fn close<T: Type>(registry: &mut Registry) {
    if let Some(schema) = registry.schemas.get_mut(T::name().as_ref()) {
        schema.additional_properties = Some(Box::new(never()));
    }
}

/// Reads one JSON object.
fn parse<T: RequestObject>(bytes: &[u8]) -> Result<T, Error> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let first = match serde_path_to_error::deserialize::<_, AsObject<T>>(&mut json) {
        Ok(AsObject(value)) => {
            json.end().map_err(|error| malformed(&error))?;
            return check(value);
        }
        Err(error) => error,
    };
    // What follows is only for a body that is refused, and may take its time: the whole of it must be JSON first.
    let tree: Value = serde_json::from_slice(bytes).map_err(|error| malformed(&error))?;
    let mut faults = Vec::new();
    find_faults::<T>(slice::from_ref(&tree), "", T::READ_ONLY, &mut faults);
    if let Some(list) = T::LIST
        && let Some(entries) = tree.get(list.name).and_then(Value::as_array)
    {
        // From outside the list, only the first fault of the first faulty entry shows.
        let (at, below) = (format!("/{}", list.name), format!("/{}/", list.name));
        faults.retain(|fault| !fault.pointer.as_deref().unwrap_or_default().starts_with(&below));
        let entries = entries.get(..list.max).unwrap_or(entries);
        (list.find_faults)(entries, &at, T::READ_ONLY, &mut faults);
    }
    // Of a member that is sent twice the tree has the last value only.
    let text = first.inner().to_string();
    let (at, repeated) = (pointer(first.path()), text.strip_prefix("duplicate field `"));
    if let Some(name) = repeated.and_then(|text| text.split('`').next()) {
        let twice = Fault::body(format!("{at}/{name}"), "is sent twice; send it once");
        faults.retain(|fault| fault.pointer != twice.pointer);
        faults.push(twice);
    } else if faults.is_empty() {
        faults.push(Fault::body(at, in_our_words(&text)));
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

/// Finds what is wrong with values that should be a `T` each: a list's entries, by their place below this pointer, or
/// where it is empty the one that is the body.
fn find_faults<T: Type + DeserializeOwned>(values: &[Value], list: &str, read_only: &[&str], faults: &mut Vec<Fault>) {
    let (known, required) = members_of::<T>();
    for (place, value) in values.iter().enumerate() {
        if faults.len() >= Error::MAX_FAULTS {
            return;
        }
        let at = if list.is_empty() { String::new() } else { format!("{list}/{place}") };
        let Value::Object(members) = value else {
            faults.push(Fault::body(at, "must be a JSON object"));
            continue;
        };
        for name in required.iter().filter(|name| !members.contains_key(**name)) {
            faults.push(Fault::body(format!("{at}/{name}"), "is required"));
        }
        let unknown = members.keys().filter(|name| !known.contains(&name.as_str()));
        for name in unknown.take(Error::MAX_FAULTS) {
            let detail = if read_only.contains(&name.as_str()) {
                "is set by the server; leave it out".to_owned()
            } else {
                format!("is unknown here; the members are {}", known.join(", "))
            };
            faults.push(Fault::body(format!("{at}/{}", escape(name)), detail));
        }
        // One fault at a time: without the member that has it, the next one shows.
        let mut rest: Map<_, _> = members.clone();
        rest.retain(|name, _| known.contains(&name.as_str()));
        while let Err(error) = serde_path_to_error::deserialize::<_, T>(Value::Object(rest.clone())) {
            let Some(Segment::Map { key }) = error.path().iter().next() else { break };
            faults
                .push(Fault::body(format!("{at}{}", pointer(error.path())), in_our_words(&error.inner().to_string())));
            if rest.remove(key).is_none() {
                break;
            }
        }
    }
}

/// The names of the members of `T`, and of those the required ones.
fn members_of<T: Type>() -> (Vec<&'static str>, Vec<&'static str>) {
    let mut registry = Registry::new();
    T::register(&mut registry);
    let schema = registry.schemas.remove(T::name().as_ref()).unwrap_or(MetaSchema::ANY);
    (schema.properties.iter().map(|(name, _)| *name).collect(), schema.required)
}

fn malformed(error: &serde_json::Error) -> Error {
    Error::MalformedJson(format!("cannot be read as JSON: {error}"))
}

/// serde's text without its place, which the pointer says: `invalid type: null, expected a string at line 1 …`.
fn in_our_words(text: &str) -> String {
    let text = text.rsplit_once(" at line ").map_or(text, |(text, _)| text);
    match text.split_once(", expected ") {
        Some((_, "a sequence")) => "must be an array".to_owned(),
        Some(("invalid type: null", expected)) => format!("must be {expected}, not null"),
        Some((_, expected)) => format!("must be {expected}"),
        None => text.to_owned(),
    }
}

/// A path in a JSON pointer (RFC 6901 §3).
fn pointer(path: &serde_path_to_error::Path) -> String {
    let step = |segment: &Segment| match segment {
        Segment::Seq { index } => format!("/{index}"),
        Segment::Map { key } => format!("/{}", escape(key)),
        Segment::Enum { variant } => format!("/{}", escape(variant)),
        Segment::Unknown => String::new(),
    };
    path.iter().map(step).collect()
}

/// A token of a JSON pointer; cut where a client sends a text for a name.
fn escape(token: &str) -> String {
    const LONG: usize = 100;
    if let Some((end, _)) = token.char_indices().nth(LONG) {
        return escape(token.get(..end).unwrap_or_default()) + "…";
    }
    token.replace('~', "~0").replace('/', "~1")
}
