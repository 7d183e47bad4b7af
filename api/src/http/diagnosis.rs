//! What is wrong with a body that is refused, each fault by its pointer.
//!
//! The body is read once more, as a stream. Kept is what a fault needs: a known member without what is inside of it, and
//! of an unknown one its name. A body that is made to be refused costs little more than one that is taken.

use std::collections::HashSet;
use std::fmt;
use std::hash::BuildHasher;

use poem_openapi::registry::{MetaSchema, Registry};
use poem_openapi::types::Type;
use serde::Deserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use serde_path_to_error::Segment;

use crate::http::error::Error;
use crate::http::problem::Fault;

/// The members of an object, as far as faults tell of them.
pub(super) struct Shape {
    known: Vec<&'static str>,
    required: Vec<&'static str>,
    /// What one of those is told that is not sent.
    missing: &'static str,
    read: fn(&Map<String, Value>) -> Result<(), Misread>,
    together: Rule,
}

/// What the members of an object must be beside each other.
pub(crate) trait Together {
    /// What is wrong with these, which are right by themselves, beside all that were sent. The object stands at this place.
    fn together(_right: &Map<String, Value>, _sent: &[&str], _at: &str) -> Option<Fault> {
        None
    }
}

/// A rule of members beside each other: see [`Together`].
type Rule = fn(&Map<String, Value>, &[&str], &str) -> Option<Fault>;

type Misread = serde_path_to_error::Error<serde_json::Error>;

impl Shape {
    /// That of a type whose members are values, or a list that is looked at by itself.
    pub(super) fn of<T: Type + DeserializeOwned + Together>(missing: &'static str) -> Self {
        let mut registry = Registry::new();
        T::register(&mut registry);
        let schema = registry.schemas.remove(T::name().as_ref()).unwrap_or(MetaSchema::ANY);
        Self {
            known: schema.properties.iter().map(|(name, _)| *name).collect(),
            required: schema.required,
            missing,
            read: |members| serde_path_to_error::deserialize::<_, T>(members).map(drop),
            together: T::together,
        }
    }
}

/// A list of objects in a body.
pub(super) struct Entries {
    pub(super) name: &'static str,
    pub(super) max: usize,
    pub(super) shape: Shape,
}

/// The faults of a body that should be an object of this shape, with this list in it: its own first, then the list's.
/// There may be more than [`Error::MAX_FAULTS`]; of a list that is too long that is the only one.
///
/// # Errors
/// That the body is not JSON, which the caller words.
pub(super) fn diagnose(
    body: &[u8],
    shape: &Shape,
    read_only: &[&str],
    list: Option<&Entries>,
) -> Result<Vec<Fault>, serde_json::Error> {
    let (mut faults, mut listed) = (Vec::new(), Vec::new());
    let list = list.map(|entries| List { entries, read_only, faults: &mut listed });
    let object = Object { shape, read_only, at: "", list, faults: &mut faults };
    let mut json = serde_json::Deserializer::from_slice(body);
    match object.read(&mut json).and_then(|()| json.end()) {
        // The only error of this file's own: see `List::entries`.
        Err(error) if error.is_data() => Ok(listed),
        Err(error) => Err(error),
        Ok(()) => {
            faults.append(&mut listed);
            Ok(faults)
        }
    }
}

/// serde's text without its place, which the pointer says: `invalid type: null, expected a string at line 1 …`.
pub(super) fn in_our_words(text: &str) -> String {
    let is_place = |end: &str| end.split(" column ").all(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
    let text = text.rsplit_once(" at line ").filter(|(_, end)| is_place(end)).map_or(text, |(text, _)| text);
    // The last one: what was sent stands before it, and may hold the same words.
    match text.rsplit_once(", expected ") {
        Some(("invalid type: null", expected)) => format!("must be {expected}, not null"),
        // `"20"` looks like what is wanted.
        Some((found, expected)) if found.starts_with("invalid type: string ") => {
            format!("must be {expected}, not a string")
        }
        Some((_, expected)) => format!("must be {expected}"),
        None => text.to_owned(),
    }
}

/// A path in a JSON pointer (RFC 6901 §3).
pub(super) fn pointer(path: &serde_path_to_error::Path) -> String {
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

/// How many entries a list must have.
pub(super) fn wrong_count(max: usize, count: impl fmt::Display) -> String {
    format!("must have 1 to {max} entries, not {count}")
}

/// A value that should be an object, at this place.
struct Object<'f> {
    shape: &'f Shape,
    read_only: &'f [&'f str],
    at: &'f str,
    list: Option<List<'f>>,
    faults: &'f mut Vec<Fault>,
}

impl Object<'_> {
    fn read<'de, D: Deserializer<'de>>(mut self, from: D) -> Result<(), D::Error> {
        if !Reader::Object(&mut self).deserialize(from)?.is_object() {
            self.faults.push(Fault::body(self.at, "must be a JSON object"));
        }
        Ok(())
    }

    fn members<'de, A: MapAccess<'de>>(&mut self, mut members: A) -> Result<(), A::Error> {
        let (mut kept, mut seen, mut repeated) = (Map::new(), Vec::new(), Vec::new());
        let (mut told, mut unknown) = (HashSet::new(), Vec::new());
        while let Some(name) = members.next_key_seed(Name { object: self, told: &mut told })? {
            match name {
                Named::Known(name) if seen.contains(&name) => {
                    if !repeated.contains(&name) {
                        repeated.push(name);
                    }
                    members.next_value_seed(Reader::Skip)?;
                }
                Named::Known(name) => {
                    seen.push(name);
                    match self.list.as_mut().filter(|list| list.entries.name == name) {
                        Some(list) => {
                            if !members.next_value_seed(Reader::List(list))?.is_array() {
                                list.faults.push(Fault::body(format!("/{name}"), "must be an array"));
                            }
                        }
                        None => {
                            kept.insert(name.to_owned(), members.next_value_seed(Reader::Outline)?);
                        }
                    }
                }
                Named::Unknown(fault) => {
                    unknown.extend(fault);
                    members.next_value_seed(Reader::Skip)?;
                }
            }
        }
        let at = self.at;
        let missing = self.shape.required.iter().filter(|name| !seen.contains(*name));
        self.faults.extend(missing.map(|name| Fault::body(format!("{at}/{name}"), self.shape.missing)));
        self.faults.append(&mut unknown);
        // Of what is sent twice either value may be the one that was meant.
        for name in &repeated {
            kept.shift_remove(*name);
            if let Some(list) = self.list.as_mut().filter(|list| list.entries.name == *name) {
                list.faults.clear();
            }
        }
        // One fault at a time: without the member that has it, the next one shows.
        while let Err(error) = (self.shape.read)(&kept) {
            let Some(Segment::Map { key }) = error.path().iter().next() else { break };
            let detail = in_our_words(&error.inner().to_string());
            self.faults.push(Fault::body(format!("{at}{}", pointer(error.path())), detail));
            if kept.shift_remove(key).is_none() {
                break;
            }
        }
        self.faults.extend((self.shape.together)(&kept, &seen, at));
        let repeated = repeated.iter().map(|name| Fault::body(format!("{at}/{name}"), "is sent twice; send it once"));
        self.faults.extend(repeated);
        Ok(())
    }

    /// The fault of a member that is not known.
    fn unknown(&self, name: &str) -> Fault {
        let detail = if self.read_only.contains(&name) {
            "is set by the server; leave it out".to_owned()
        } else {
            format!("is unknown here; the members are {}", self.shape.known.join(", "))
        };
        Fault::body(format!("{}/{}", self.at, escape(name)), detail)
    }
}

/// A value that should be a list of objects.
struct List<'f> {
    entries: &'f Entries,
    read_only: &'f [&'f str],
    faults: &'f mut Vec<Fault>,
}

impl List<'_> {
    /// Looks at the entries until there are faults enough. One too many ends the reading, by an error.
    fn entries<'de, A: SeqAccess<'de>>(&mut self, mut entries: A) -> Result<(), A::Error> {
        let Entries { name, max, shape } = self.entries;
        for place in 0..*max {
            let at = format!("/{name}/{place}");
            let entry = (self.faults.len() < Error::MAX_FAULTS).then(|| Object {
                shape,
                read_only: self.read_only,
                at: &at,
                list: None,
                faults: self.faults,
            });
            if entries.next_element_seed(Entry(entry))?.is_none() {
                if place == 0 {
                    self.faults.push(Fault::body(format!("/{name}"), wrong_count(*max, 0)));
                }
                return Ok(());
            }
        }
        if entries.next_element_seed(Reader::Skip)?.is_some() {
            self.faults.clear();
            self.faults.push(Fault::body(format!("/{name}"), wrong_count(*max, "more")));
            return Err(A::Error::custom("a list that is too long"));
        }
        Ok(())
    }
}

/// How many entries of an array are looked at: more than any member may have.
const OUTLINED: usize = 32;

/// An entry of a list: looked at, or passed over.
struct Entry<'f>(Option<Object<'f>>);

impl<'de> DeserializeSeed<'de> for Entry<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        match self.0 {
            Some(object) => object.read(from),
            None => Reader::Skip.deserialize(from).map(drop),
        }
    }
}

/// What is read of a value, whatever it is. Answered is its outline: arrays with the first entries that are values, without what is
/// in others, and objects without members.
///
/// Unlike serde's `IgnoredAny`, what is passed over must be JSON in every respect: its depth, numbers and texts too.
enum Reader<'r, 'f> {
    Skip,
    Leaf,
    Outline,
    Object(&'r mut Object<'f>),
    List(&'r mut List<'f>),
}

impl Reader<'_, '_> {
    fn leaf(&self, leaf: impl Into<Value>) -> Value {
        if matches!(self, Self::Leaf | Self::Outline) { leaf.into() } else { Value::Null }
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_, '_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_, '_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(self.leaf(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(self.leaf(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(self.leaf(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(self.leaf(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(self.leaf(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        match self {
            Self::List(list) => list.entries(entries)?,
            Self::Outline => {
                let mut kept = Vec::new();
                while kept.len() < OUTLINED
                    && let Some(entry) = entries.next_element_seed(Reader::Leaf)?
                {
                    kept.push(entry);
                }
                while entries.next_element_seed(Reader::Skip)?.is_some() {}
                return Ok(Value::Array(kept));
            }
            _ => while entries.next_element_seed(Reader::Skip)?.is_some() {},
        }
        Ok(Value::Array(Vec::new()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        match self {
            Self::Object(object) => object.members(members)?,
            _ => while members.next_entry_seed(Reader::Skip, Reader::Skip)?.is_some() {},
        }
        Ok(Value::Object(Map::new()))
    }
}

/// The name of a member of this object.
struct Name<'n, 'f> {
    object: &'n Object<'f>,
    /// The unknown names before it, as hashes: a name may be as long as the body.
    told: &'n mut HashSet<u64>,
}

enum Named {
    Known(&'static str),
    /// With its fault, when it is told.
    Unknown(Option<Fault>),
}

impl<'de> DeserializeSeed<'de> for Name<'_, '_> {
    type Value = Named;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Named, D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_, '_> {
    type Value = Named;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Named, E> {
        if let Some(known) = self.object.shape.known.iter().find(|known| **known == name) {
            return Ok(Named::Known(known));
        }
        if self.told.len() >= Error::MAX_FAULTS {
            return Ok(Named::Unknown(None));
        }
        let hash = self.told.hasher().hash_one(name);
        Ok(Named::Unknown(self.told.insert(hash).then(|| self.object.unknown(name))))
    }
}
