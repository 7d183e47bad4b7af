//! What one operation can refuse with: its statuses in the document, and no others.

use std::marker::PhantomData;

use poem_openapi::ApiResponse;
use poem_openapi::registry::{MetaHeader, MetaMediaType, MetaResponse, MetaResponses, MetaSchemaRef, Registry};
use poem_openapi::types::Type;

use crate::http::error::Error;
use crate::http::header::{Challenge, ETag, MediaTypes, NoStore, RateLimit, RateLimitPolicy, RetryAfter, Uncompressed};
use crate::http::problem::{Problem, ProblemJson};

/// A status that an operation can refuse with.
#[derive(Debug, Clone, Copy)]
pub struct Status {
    /// The status.
    pub code: u16,
    /// What it means there.
    pub meaning: &'static str,
    /// The headers that come with it, beside those of every problem.
    pub(crate) headers: &'static [StatusHeader],
}

/// A header that comes with some statuses only.
#[derive(Debug, Clone, Copy)]
pub(crate) enum StatusHeader {
    Accept,
    AcceptEncoding,
    AcceptPatch,
    Challenge,
    ETag,
    RateLimit,
    RateLimitPolicy,
    /// Where the status has other causes, too, which are no limit of requests.
    RateLimitIfAny,
    RateLimitPolicyIfAny,
    RetryAfter,
    /// Where the status has other causes, too, for which no time helps.
    RetryAfterIfAny,
}

/// The statuses that one operation can refuse with.
pub trait Statuses: Send + Sync + 'static {
    /// Each with what it means there.
    const STATUSES: &'static [Status];
}

/// An [`Error`] of an operation whose document lists the statuses `S` and no others.
///
/// One enum with a status each, as poem-openapi derives it, would put every status on every operation.
#[derive(Debug)]
pub struct Refusal<S>(Error, PhantomData<S>);

impl<S> From<Error> for Refusal<S> {
    fn from(error: Error) -> Self {
        Self(error, PhantomData)
    }
}

impl<S: Statuses> From<Refusal<S>> for poem::Error {
    fn from(refusal: Refusal<S>) -> Self {
        refusal.0.into()
    }
}

impl<S: Statuses> ApiResponse for Refusal<S> {
    fn meta() -> MetaResponses {
        let cache_control = || header("Cache-Control", true, NoStore::schema_ref(), "A problem is not kept by caches.");
        let responses = S::STATUSES.iter().map(|status| MetaResponse {
            description: status.meaning,
            status: Some(status.code),
            status_range: None,
            content: vec![MetaMediaType { content_type: ProblemJson::MEDIA_TYPE, schema: Problem::schema_ref() }],
            headers: std::iter::once(cache_control())
                .chain(status.headers.iter().copied().map(StatusHeader::meta))
                .collect(),
        });
        MetaResponses { responses: responses.collect() }
    }

    fn register(registry: &mut Registry) {
        Problem::register(registry);
    }
}

impl StatusHeader {
    fn meta(self) -> MetaHeader {
        // Why a body's form is refused decides which of its headers come.
        let (name, required, schema, description) = match self {
            Self::Accept => (
                "Accept",
                false,
                MediaTypes::schema_ref(),
                "The media types that are read, where another one was sent.",
            ),
            Self::AcceptEncoding => {
                ("Accept-Encoding", false, Uncompressed::schema_ref(), "That no coding is read, where one was sent.")
            }
            Self::AcceptPatch => {
                ("Accept-Patch", false, MediaTypes::schema_ref(), "The same as `Accept`, for a `PATCH` (RFC 5789).")
            }
            Self::Challenge => (
                "WWW-Authenticate",
                true,
                Challenge::schema_ref(),
                "How to authenticate; with the error when a token was sent.",
            ),
            Self::ETag => ("ETag", true, ETag::schema_ref(), "What the task is now, as a strong entity tag."),
            Self::RateLimit | Self::RateLimitIfAny => (
                "RateLimit",
                matches!(self, Self::RateLimit),
                RateLimit::schema_ref(),
                "How many more requests may be sent now.",
            ),
            Self::RateLimitPolicy | Self::RateLimitPolicyIfAny => (
                "RateLimit-Policy",
                matches!(self, Self::RateLimitPolicy),
                RateLimitPolicy::schema_ref(),
                "How many requests may be sent, and in how many seconds.",
            ),
            Self::RetryAfterIfAny => (
                "Retry-After",
                false,
                RetryAfter::schema_ref(),
                "After how many seconds to try again, where that helps.",
            ),
            Self::RetryAfter => ("Retry-After", true, RetryAfter::schema_ref(), "After how many seconds to try again."),
        };
        header(name, required, schema, description)
    }
}

fn header(name: &str, required: bool, schema: MetaSchemaRef, description: &str) -> MetaHeader {
    MetaHeader { name: name.to_owned(), description: Some(description.to_owned()), required, deprecated: false, schema }
}
