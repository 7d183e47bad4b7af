//! JSON and base64url as tokens have them (RFC 7515 §2): each thing has one spelling, and no member that is read stands twice.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use tasks_api::TokenFault;

/// The bytes of one part of a token. Each byte sequence has exactly one spelling.
pub(super) fn decode(part: &str) -> Result<Vec<u8>, TokenFault> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenFault::Malformed)
}

/// A JSON object.
pub(super) fn parse<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, TokenFault> {
    let object: Object<T> = parse_by(PhantomData, json)?;
    Ok(object.0)
}

/// What this reader makes of a text of JSON. It is checked as a whole: inside members that are skipped, the parser would not
/// look at it.
pub(super) fn parse_by<'a, S: DeserializeSeed<'a>>(reader: S, json: &'a [u8]) -> Result<S::Value, TokenFault> {
    let text = str::from_utf8(json).map_err(|_| TokenFault::Malformed)?;
    let mut parser = serde_json::Deserializer::from_str(text);
    let value = reader.deserialize(&mut parser).map_err(|_| TokenFault::Malformed)?;
    parser.end().map_err(|_| TokenFault::Malformed)?;
    Ok(value)
}

/// What a member holds. Reading takes every type, so that claims are judged after the signature and not while parsing.
#[derive(Default)]
pub(super) enum Member<'a> {
    #[default]
    Absent,
    Text(Cow<'a, str>),
    /// A number without sign, fraction and exponent, below 2^64: no two of them look alike.
    Integer(u64),
    /// Any other number, as near as a double comes to it.
    Number(f64),
    Boolean(bool),
    Null,
    Texts(Vec<Cow<'a, str>>),
    /// A list that holds something else than texts.
    List,
    Object,
}

impl Member<'_> {
    /// Whether it is this text.
    pub(super) fn is(&self, text: &str) -> bool {
        matches!(self, Self::Text(own) if own == text)
    }

    /// Whether it is this text, in any case of ASCII letters.
    pub(super) fn is_in_any_case(&self, text: &str) -> bool {
        matches!(self, Self::Text(own) if own.eq_ignore_ascii_case(text))
    }

    /// The number that it is, if it is one.
    #[expect(clippy::cast_precision_loss, reason = "seconds are exact far beyond the year 9999")]
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Integer(number) => Some(*number as f64),
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// Of which type it is, for whoever is told: never what it holds.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Absent => "missing",
            Self::Text(_) => "a text",
            Self::Integer(_) | Self::Number(_) => "a number",
            Self::Boolean(_) => "a boolean",
            Self::Null => "null",
            Self::Texts(_) | Self::List => "a list",
            Self::Object => "an object",
        }
    }

    /// Whether it is this text or a list of texts with it.
    pub(super) fn names(&self, text: &str) -> bool {
        self.is(text) || matches!(self, Self::Texts(list) if list.iter().any(|own| own == text))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Member<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Member<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON value")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Member::Text(text.into()))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Member::Text(text.to_owned().into()))
            }
            fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
                Ok(Member::Number(number))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
                Ok(Member::Integer(number))
            }
            #[expect(clippy::cast_precision_loss, reason = "seconds are exact far beyond the year 9999")]
            fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
                Ok(Member::Number(number as f64))
            }
            fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
                Ok(Member::Boolean(value))
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Member::Null)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut texts = Some(Vec::new());
                while let Some(item) = list.next_element()? {
                    match (item, &mut texts) {
                        (Member::Text(text), Some(texts)) => texts.push(text),
                        _ => texts = None,
                    }
                }
                Ok(texts.map_or(Member::List, Member::Texts))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Member::Object)
            }
        }

        from.deserialize_any(Any)
    }
}

/// `T` from a JSON object only: a derived reader takes an array as well, member by member.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        from.deserialize_map(Members(PhantomData))
    }
}
