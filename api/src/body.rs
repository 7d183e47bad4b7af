//! JSON in: the one extractor of request bodies.
//!
//! poem-openapi's own `Json` gives no pointers, and takes numbers for strings and the last of duplicate members. [`Body`]
//! reads with serde, says where a body is wrong, and keeps the schema of the type that it carries.

use std::collections::BTreeSet;

use futures_util::StreamExt;
use poem::http::header;
use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaMediaType, MetaRequest, MetaSchema, Registry};
use poem_openapi::types::Type;
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;

use crate::error::{Error, Fault};
use crate::json::JSON;
use crate::newtype::never;
use crate::task::READ_ONLY;

/// The longest body that most operations read, in bytes.
pub(crate) const MAX_BYTES: usize = 64 * 1024;

/// An object that a request carries.
pub(crate) trait RequestObject: Type + DeserializeOwned {
    /// What no body at all stands for; `None` where a body is required.
    #[must_use]
    fn absent() -> Option<Self> {
        None
    }

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
    close: fn(&mut Registry),
    find_faults: fn(&Value, &str, &mut Vec<Fault>),
}

impl List {
    /// The list of this name, with entries of this type.
    pub(crate) const fn of<T: Type + DeserializeOwned>(name: &'static str) -> Self {
        Self { name, close: close::<T>, find_faults: find_faults::<T> }
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
        // The client stopped sending: nobody is left to read the answer.
        let piece = piece.map_err(|_| Error::MalformedJson("the body ended early".to_owned()))?;
        count += piece.len();
        if count <= limit {
            bytes.extend_from_slice(&piece);
        } else if count > PATIENCE {
            break;
        }
    }
    if count > limit { Err(Error::BodyTooLarge(limit)) } else { Ok(bytes) }
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
    // serde takes an array for a struct.
    let is_object = bytes.trim_ascii_start().starts_with(b"{");
    let mut repeated = None;
    if is_object {
        let mut json = serde_json::Deserializer::from_slice(bytes);
        match serde_path_to_error::deserialize::<_, T>(&mut json) {
            Ok(value) => {
                json.end().map_err(|error| malformed(&error))?;
                return check(value);
            }
            Err(error) => repeated = twice(&error),
        }
    }
    // What follows is only for a body that is refused, and may take its time: the whole of it must be JSON first.
    let tree: Value = serde_json::from_slice(bytes).map_err(|error| malformed(&error))?;
    let mut faults = Vec::new();
    find_faults::<T>(&tree, "", &mut faults);
    if let Some(list) = T::LIST
        && let Some(entries) = tree.get(list.name).and_then(Value::as_array)
    {
        // From outside the list, only the first fault of the first faulty entry shows.
        let (at, below) = (format!("/{}", list.name), format!("/{}/", list.name));
        faults.retain(|fault| !fault.pointer.as_deref().unwrap_or_default().starts_with(&below));
        for (place, entry) in entries.iter().enumerate() {
            if faults.len() >= Error::MAX_FAULTS {
                break;
            }
            (list.find_faults)(entry, &format!("{at}/{place}"), &mut faults);
        }
    }
    if let Some(repeated) = repeated {
        // The tree has the last of its values, which may be wrong too.
        faults.retain(|fault| fault.pointer != repeated.pointer);
        faults.push(repeated);
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

/// Finds what is wrong with a value that should be a `T` and stands at this pointer.
fn find_faults<T: Type + DeserializeOwned>(tree: &Value, at: &str, faults: &mut Vec<Fault>) {
    let Value::Object(members) = tree else {
        faults.push(Fault::body(at, "must be a JSON object"));
        return;
    };
    let (known, required) = members_of::<T>();
    let sent: BTreeSet<&str> = members.keys().map(String::as_str).collect();
    for name in required.iter().filter(|name| !sent.contains(*name)) {
        faults.push(Fault::body(format!("{at}/{name}"), "is required"));
    }
    for name in sent.iter().filter(|name| !known.contains(*name)).take(Error::MAX_FAULTS) {
        let detail = if READ_ONLY.contains(name) {
            "is set by the server; leave it out".to_owned()
        } else {
            format!("is unknown here; the members are {}", known.join(", "))
        };
        faults.push(Fault::body(format!("{at}/{}", escape(name)), detail));
    }
    if let Err(error) = serde_path_to_error::deserialize::<_, T>(tree) {
        let text = error.inner().to_string();
        if !text.starts_with("missing field") && !text.starts_with("unknown field") {
            faults.push(Fault::body(format!("{at}{}", pointer(error.path())), in_our_words(&text)));
        }
    }
}

/// The fault of a member that is sent twice, which only the text shows.
fn twice(error: &serde_path_to_error::Error<serde_json::Error>) -> Option<Fault> {
    let text = error.inner().to_string();
    let name = text.strip_prefix("duplicate field `")?.split('`').next()?;
    Some(Fault::body(format!("{}/{name}", pointer(error.path())), "is sent twice; send it once"))
}

/// The names of the members of `T`, and of those the required ones.
fn members_of<T: Type>() -> (Vec<&'static str>, Vec<&'static str>) {
    let mut registry = Registry::new();
    T::register(&mut registry);
    let schema = registry.schemas.remove(T::name().as_ref()).unwrap_or(MetaSchema::ANY);
    (schema.properties.iter().map(|(name, _)| *name).collect(), schema.required)
}

fn malformed(error: &serde_json::Error) -> Error {
    Error::MalformedJson(format!("is not valid JSON: {error}"))
}

/// serde's text without its place, which the pointer says: `invalid type: null, expected a string at line 1 …`.
fn in_our_words(text: &str) -> String {
    let text = text.rsplit_once(" at line ").map_or(text, |(text, _)| text);
    match text.split_once(", expected ") {
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

fn escape(token: &str) -> String {
    token.replace('~', "~0").replace('/', "~1")
}
