//! JSON-RPC 2.0 as the Model Context Protocol has it: one message in, one answer or none out.
//!
//! Which revision a message is of, it says itself. Of 2026-07-28 every request says so in its body and in a header, and the two must
//! agree; of those before, the header is enough, and `initialize` needs none.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use poem::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::http::body::AsObject;

/// The revision in which every request stands for itself (basic/versioning, "modern").
pub(super) const MODERN: &str = "2026-07-28";

/// Those that begin with `initialize` and are served without a session, the newest first (basic/versioning, "legacy").
pub(super) const LEGACY: [&str; 2] = ["2025-11-25", "2025-06-18"];

/// The headers that say again what the body says (basic/transports/streamable-http, "Request Metadata").
const VERSION: &str = "MCP-Protocol-Version";
const METHOD: &str = "Mcp-Method";
const NAME: &str = "Mcp-Name";

/// The kind of revision that a message is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Era {
    Modern,
    Legacy,
}

/// A message that a client sends.
pub(super) struct Message<'a> {
    /// The id of a request, as it was written; a notification has none.
    pub(super) id: Option<&'a str>,
    pub(super) method: Cow<'a, str>,
    pub(super) params: Params<'a>,
}

/// What there is to say of a message that is refused.
#[derive(Debug)]
pub(super) struct RpcError {
    pub(super) status: StatusCode,
    code: i32,
    message: String,
    data: Option<Value>,
}

impl RpcError {
    fn new(status: StatusCode, code: i32, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), data: None }
    }

    /// −32700: it is not JSON.
    fn parse(error: &serde_json::Error) -> Self {
        Self::new(StatusCode::BAD_REQUEST, -32_700, format!("The message cannot be read as JSON: {error}."))
    }

    /// −32600: it is no message of JSON-RPC.
    fn request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, -32_600, message)
    }

    /// −32602: what goes with the method is not as it must be.
    pub(super) fn params(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, -32_602, message)
    }

    /// −32600: a request has no id, and nobody is to be answered.
    pub(super) fn unnamed(method: &str) -> Self {
        Self::request(format!("A request needs an id; {} is no notification.", quoted(method)))
    }

    /// −32602: there is no such tool.
    pub(super) fn tool(name: &str, known: &[&str]) -> Self {
        Self::params(format!("There is no tool {}; the tools are {}.", quoted(name), known.join(", ")))
    }

    /// −32601: there is no such method.
    pub(super) fn method(method: &str, known: &[&str]) -> Self {
        let message = format!("There is no method {}; the methods are {}.", quoted(method), known.join(", "));
        Self::new(StatusCode::NOT_FOUND, -32_601, message)
    }

    /// −32020: a header is missing, or says something else than the body.
    fn header(message: String) -> Self {
        Self::new(StatusCode::BAD_REQUEST, -32_020, message)
    }

    /// −32022: the revision is not served.
    fn version(requested: &str) -> Self {
        let supported: Vec<&str> = [MODERN].into_iter().chain(LEGACY).collect();
        let message = format!("The revision {} is not served; {} are.", quoted(requested), supported.join(", "));
        let data = json!({ "supported": supported, "requested": cut(requested) });
        Self { data: Some(data), ..Self::new(StatusCode::BAD_REQUEST, -32_022, message) }
    }

    /// The same to a client of those revisions, for which a status beside 200 is the transport's alone.
    pub(super) fn of(self, era: Era) -> Self {
        if era == Era::Legacy { Self { status: StatusCode::OK, ..self } } else { self }
    }

    /// What is wrong, in a word.
    pub(super) const fn name(&self) -> &'static str {
        match self.code {
            -32_700 => "message-malformed",
            -32_601 => "method-unknown",
            -32_602 => "params-invalid",
            -32_020 => "header-mismatch",
            -32_022 => "revision-unsupported",
            _ => "message-invalid",
        }
    }

    /// The answer. Without an id where none could be read (basic, "Error Responses").
    pub(super) fn write(&self, id: Option<&str>) -> Vec<u8> {
        let mut error = Map::new();
        error.insert("code".to_owned(), self.code.into());
        error.insert("message".to_owned(), self.message.as_str().into());
        error.extend(self.data.clone().map(|data| ("data".to_owned(), data)));
        let error = Value::from(error);
        let id = id.map(|id| format!(r#""id":{id},"#)).unwrap_or_default();
        format!(r#"{{"jsonrpc":"2.0",{id}"error":{error}}}"#).into_bytes()
    }
}

/// A text of the client's, in quotes and not too long.
fn quoted(text: &str) -> Value {
    cut(text).into()
}

fn cut(text: &str) -> String {
    const LONG: usize = 100;
    match text.char_indices().nth(LONG) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default, deserialize_with = "raw")]
    jsonrpc: Raw<'a>,
    #[serde(borrow, default, deserialize_with = "raw")]
    id: Raw<'a>,
    #[serde(borrow, default, deserialize_with = "raw")]
    method: Raw<'a>,
    #[serde(borrow, default, deserialize_with = "raw")]
    params: Raw<'a>,
}

/// What goes with a method, as far as any method reads it. What else there is, is not looked at: it may be of a later revision.
#[derive(Default, Deserialize)]
pub(super) struct Params<'a> {
    #[serde(borrow, default, deserialize_with = "raw")]
    name: Raw<'a>,
    #[serde(borrow, default, deserialize_with = "raw")]
    arguments: Raw<'a>,
    #[serde(borrow, default, deserialize_with = "raw")]
    cursor: Raw<'a>,
    #[serde(borrow, default, deserialize_with = "raw", rename = "protocolVersion")]
    version: Raw<'a>,
    #[serde(borrow, default, deserialize_with = "raw", rename = "_meta")]
    meta: Raw<'a>,
}

#[derive(Default, Deserialize)]
struct Meta<'a> {
    #[serde(borrow, default, deserialize_with = "raw", rename = "io.modelcontextprotocol/protocolVersion")]
    version: Raw<'a>,
    #[serde(borrow, default, deserialize_with = "raw", rename = "io.modelcontextprotocol/clientCapabilities")]
    capabilities: Raw<'a>,
}

/// A member as it was written, also null; `None` where there is none.
type Raw<'a> = Option<&'a RawValue>;

fn raw<'de, D: Deserializer<'de>>(from: D) -> Result<Raw<'de>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

/// What is between the white space of JSON, of which a raw value has none.
fn text(raw: Raw<'_>) -> Option<Cow<'_, str>> {
    let text = raw?.get();
    let plain = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match plain {
        Some(plain) if !plain.contains('\\') => Some(plain.into()),
        _ => serde_json::from_str::<String>(text).ok().map(Into::into),
    }
}

fn is_object(raw: &RawValue) -> bool {
    raw.get().starts_with('{')
}

/// An object, of which no member that is read stands twice.
fn object<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let AsObject(object) = AsObject::deserialize(&mut json)?;
    json.end()?;
    Ok(object)
}

impl<'a> Message<'a> {
    /// Reads a message.
    ///
    /// # Errors
    /// What is wrong with it, and its id where that can be told.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, (RpcError, Option<&'a str>)> {
        let envelope: Envelope<'a> = object(bytes).map_err(|error| {
            let begins = bytes.trim_ascii_start().first();
            (
                if error.is_data() && begins == Some(&b'[') {
                    RpcError::request("Send one message a request: there are no batches.")
                } else if error.is_data() {
                    RpcError::request(format!("That is no message of JSON-RPC: {}.", reason(&error)))
                } else {
                    RpcError::parse(&error)
                },
                None,
            )
        })?;
        let id = envelope.id.map(RawValue::get);
        let is_id = id.is_none_or(|id| if id.starts_with('"') { text(envelope.id).is_some() } else { is_whole(id) });
        if !is_id {
            return Err((RpcError::request("The id of a request must be a text or a whole number."), None));
        }
        let refuse = |message: &str| (RpcError::request(message), id);
        if text(envelope.jsonrpc).as_deref() != Some("2.0") {
            return Err(refuse("The member jsonrpc must be \"2.0\"."));
        }
        let Some(method) = text(envelope.method) else {
            let told = RpcError::request("The member method must be a text: send a request.");
            // What has none is no request, and its id another's.
            return Err((told, id.filter(|_| envelope.method.is_some())));
        };
        let params = match envelope.params {
            None => Params::default(),
            Some(params) => {
                let read = object(params.get().as_bytes());
                read.map_err(|error| {
                    (RpcError::params(format!("The params must be a JSON object: {}.", reason(&error))), id)
                })?
            }
        };
        Ok(Self { id, method, params })
    }

    /// Which kind of revision it is of.
    ///
    /// # Errors
    /// When header and body differ, or one says what is not served or misses what it must have.
    pub(super) fn era(&self, headers: &HeaderMap) -> Result<Era, RpcError> {
        let sent = header(headers, VERSION)?;
        let meta = self.meta()?;
        let stated = match meta.version {
            None => None,
            raw => Some(text(raw).ok_or_else(|| must_state("protocolVersion", "a text"))?),
        };
        // What stands in these must be true, whoever asks for them.
        self.check_headers(headers, sent == Some(MODERN) && stated.is_some())?;
        match (sent, stated.as_deref()) {
            (None, None) => Ok(Era::Legacy),
            (Some(sent), None) if LEGACY.contains(&sent) => Ok(Era::Legacy),
            (Some(MODERN), None) if self.id.is_some() => Err(must_state("protocolVersion", "a text")),
            (Some(MODERN), None) => Ok(Era::Modern),
            (None, Some(_)) => Err(RpcError::header(format!("The header {VERSION} is missing."))),
            (Some(sent), Some(stated)) if sent != stated => Err(RpcError::header(format!(
                "The header {VERSION} says {}, and the body {}.",
                quoted(sent),
                quoted(stated)
            ))),
            (Some(sent), Some(_)) if LEGACY.contains(&sent) => Ok(Era::Legacy),
            (Some(MODERN), Some(_)) => {
                let is_stated = meta.capabilities.is_some_and(is_object);
                if is_stated { Ok(Era::Modern) } else { Err(must_state("clientCapabilities", "an object")) }
            }
            (Some(sent), _) => Err(RpcError::version(sent)),
        }
    }

    fn meta(&self) -> Result<Meta<'a>, RpcError> {
        let Some(meta) = self.params.meta else { return Ok(Meta::default()) };
        object(meta.get().as_bytes())
            .map_err(|error| RpcError::params(format!("_meta must be a JSON object: {}.", reason(&error))))
    }

    /// That the headers say what the body says, where they are sent or must be.
    fn check_headers(&self, headers: &HeaderMap, are_needed: bool) -> Result<(), RpcError> {
        let method = header(headers, METHOD)?;
        if method.is_some() || are_needed {
            equal(METHOD, method.map(Into::into), &self.method)?;
        }
        if self.method == "tools/call"
            && let Some(name) = text(self.params.name)
        {
            let sent = header(headers, NAME)?.map(decoded).transpose()?;
            if sent.is_some() || are_needed {
                equal(NAME, sent, &name)?;
            }
        }
        Ok(())
    }
}

impl<'a> Params<'a> {
    /// The name of the tool that is called.
    ///
    /// # Errors
    /// When it has none.
    pub(super) fn name(&self) -> Result<Cow<'a, str>, RpcError> {
        text(self.name).ok_or_else(|| RpcError::params("The params must have a name, a text: that of a tool."))
    }

    /// What it is called with; nothing is an empty object.
    ///
    /// # Errors
    /// When it is none.
    pub(super) fn arguments(&self) -> Result<&'a [u8], RpcError> {
        match self.arguments.map(RawValue::get) {
            None | Some("null") => Ok(b"{}"),
            Some(arguments) if arguments.starts_with('{') => Ok(arguments.as_bytes()),
            Some(_) => Err(RpcError::params("The arguments must be a JSON object.")),
        }
    }

    /// Refuses a place in a list that has but one page.
    ///
    /// # Errors
    /// When there is a cursor.
    pub(super) fn check_cursor(&self) -> Result<(), RpcError> {
        match self.cursor.map(RawValue::get) {
            None | Some("null") => Ok(()),
            Some(_) => Err(RpcError::params("There is one page of tools, and no cursor to another: leave it out.")),
        }
    }

    /// The revision to go on with after `initialize`: the one that is asked for, or else the newest of its kind.
    ///
    /// # Errors
    /// When none is asked for.
    pub(super) fn agreed(&self) -> Result<&'static str, RpcError> {
        let asked = text(self.version).ok_or_else(|| RpcError::params("The params must have a protocolVersion."))?;
        Ok(LEGACY.into_iter().find(|known| *known == asked).unwrap_or(LEGACY[0]))
    }
}

/// Whether it is a whole number: to JSON Schema, 1.0 is one.
fn is_whole(number: &str) -> bool {
    number.parse().is_ok_and(|number: f64| number.is_finite() && number.fract() == 0.0)
}

/// serde's text without the place, which is that in a part of the message.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or_default().to_owned()
}

/// The one value of a header.
fn header<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, RpcError> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => {
            let wrong = |_| RpcError::header(format!("The header {name} has characters that it may not have."));
            value.to_str().map(|value| Some(value.trim_matches([' ', '\t']))).map_err(wrong)
        }
        _ => Err(RpcError::header(format!("The header {name} is sent twice; send it once."))),
    }
}

/// What a value stands for that may be in base64 (streamable-http, "Value Encoding").
fn decoded(value: &str) -> Result<Cow<'_, str>, RpcError> {
    let Some(coded) = value.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) else {
        return Ok(value.into());
    };
    let decoded = STANDARD.decode(coded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    decoded.map(Into::into).ok_or_else(|| RpcError::header(format!("The header {NAME} is not UTF-8 in base64.")))
}

fn equal(name: &str, sent: Option<Cow<'_, str>>, stated: &str) -> Result<(), RpcError> {
    match sent {
        Some(sent) if sent == stated => Ok(()),
        Some(sent) => {
            let (sent, stated) = (quoted(&sent), quoted(stated));
            Err(RpcError::header(format!("The header {name} says {sent}, and the body {stated}.")))
        }
        None => Err(RpcError::header(format!("The header {name} is missing; the body says {}.", quoted(stated)))),
    }
}

/// The refusal of a request that does not say of itself what it must.
fn must_state(name: &str, kind: &str) -> RpcError {
    RpcError::params(format!("_meta must have io.modelcontextprotocol/{name}, {kind}."))
}
