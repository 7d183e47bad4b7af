//! What one operation can refuse with: its statuses in the document, and no others.

use std::marker::PhantomData;

use poem_openapi::ApiResponse;
use poem_openapi::registry::{MetaHeader, MetaMediaType, MetaResponse, MetaResponses, Registry};
use poem_openapi::types::Type;

use crate::http::error::{Error, Problem, ProblemJson};
use crate::http::header::{Challenge, ETag, NoStore, RateLimit, RetryAfter};

/// A status that an operation can refuse with.
#[derive(Debug, Clone, Copy)]
pub struct Status {
    /// The status.
    pub code: u16,
    /// What it means there.
    pub meaning: &'static str,
    /// The header that comes with it, beside those of every problem.
    pub(crate) header: Option<StatusHeader>,
}

/// A header that comes with some statuses only.
#[derive(Debug, Clone, Copy)]
pub(crate) enum StatusHeader {
    Challenge,
    ETag,
    /// `Retry-After`, `RateLimit` and `RateLimit-Policy`.
    Limits,
    RetryAfter,
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
        let header = |name: &str, description: &str, schema| MetaHeader {
            name: name.to_owned(),
            description: Some(description.to_owned()),
            required: true,
            deprecated: false,
            schema,
        };
        let responses = S::STATUSES.iter().map(|status| MetaResponse {
            description: status.meaning,
            status: Some(status.code),
            status_range: None,
            content: vec![MetaMediaType { content_type: ProblemJson::MEDIA_TYPE, schema: Problem::schema_ref() }],
            headers: std::iter::once(header(
                "Cache-Control",
                "A problem is not kept by caches.",
                NoStore::schema_ref(),
            ))
            .chain(status.header.into_iter().flat_map(|which| match which {
                StatusHeader::Challenge => vec![header(
                    "WWW-Authenticate",
                    "How to authenticate; with the error when a token was sent.",
                    Challenge::schema_ref(),
                )],
                StatusHeader::ETag => {
                    vec![header("ETag", "The version that the task has, as a strong entity tag.", ETag::schema_ref())]
                }
                StatusHeader::Limits => vec![
                    header("Retry-After", "After how many seconds there is room again.", RetryAfter::schema_ref()),
                    header("RateLimit", "How many more requests may be sent now.", RateLimit::schema_ref()),
                    header(
                        "RateLimit-Policy",
                        "How many may be sent, and in how many seconds.",
                        RateLimit::schema_ref(),
                    ),
                ],
                StatusHeader::RetryAfter => {
                    vec![header("Retry-After", "After how many seconds to try again.", RetryAfter::schema_ref())]
                }
            }))
            .collect(),
        });
        MetaResponses { responses: responses.collect() }
    }

    fn register(registry: &mut Registry) {
        Problem::register(registry);
    }
}
