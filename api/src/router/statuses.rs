//! The statuses that operations refuse with, and what each means.

use crate::http::refusal::{Status, StatusHeader};

pub(super) const BAD_REQUEST: Status = status(400, "The request breaks the contract; `errors` says where.");
pub(super) const UNAUTHORIZED: Status = Status {
    headers: &[StatusHeader::Challenge],
    ..status(401, "No token, or one that does not verify; `code` says why.")
};
pub(super) const FORBIDDEN: Status = status(403, "The path's user is not the user of the token.");
pub(super) const NOT_FOUND: Status = status(404, "The user has no such task.");
pub(super) const SOME_NOT_FOUND: Status =
    status(404, "The user has not all of the tasks; `errors` names those that are not there.");
pub(super) const KEY_IN_USE: Status = Status {
    headers: &[StatusHeader::RetryAfter],
    ..status(409, "A request with the same `Idempotency-Key` still runs.")
};
pub(super) const KEY_IN_USE_OR_ID_TAKEN: Status = Status {
    headers: &[StatusHeader::RetryAfterIfAny],
    ..status(
        409,
        "A request with the same `Idempotency-Key` still runs; or the draft's `id` is that of a task which was created otherwise, or \
         was deleted: `code` says which.",
    )
};
pub(super) const EXPIRED: Status = Status {
    headers: &[StatusHeader::RetryAfter],
    ..status(
        410,
        "What `since` stands for cannot be gone on with: forget what was read, but not what has not been sent yet, and begin again \
         without it, after the seconds of `Retry-After`.",
    )
};
pub(super) const BODY_TIMED_OUT: Status = status(408, "The body did not come in time; nothing was carried out.");
pub(super) const VERSION: Status = Status {
    headers: &[StatusHeader::ETag],
    ..status(412, "The task is another one than `If-Match` names; `current` shows it.")
};
pub(super) const SOME_VERSION: Status =
    status(412, "Some tasks have another version than the request names; `errors` says which, and shows them.");
pub(super) const TOO_LARGE: Status = status(413, "The body has more than 64 KiB.");
pub(super) const BULK_TOO_LARGE: Status = status(413, "The body has more than 2 MiB.");
pub(super) const MEDIA_TYPE: Status = Status {
    headers: &[StatusHeader::Accept, StatusHeader::AcceptEncoding],
    ..status(415, "The body is not sent as JSON, or is compressed.")
};
pub(super) const PATCH_MEDIA_TYPE: Status =
    Status { headers: &[StatusHeader::Accept, StatusHeader::AcceptEncoding, StatusHeader::AcceptPatch], ..MEDIA_TYPE };
pub(super) const KEY_REUSED: Status = status(422, "The `Idempotency-Key` was used for another request.");
pub(super) const CONDITION: Status = status(428, "The server is set to take no write without `If-Match`.");
pub(super) const SOME_CONDITION: Status =
    status(428, "The server is set to take no write of a task without its `version`.");
pub(super) const RATE_LIMITED: Status = Status {
    headers: &[StatusHeader::RetryAfter, StatusHeader::RateLimit, StatusHeader::RateLimitPolicy],
    ..status(429, "The user has sent as many requests as it may for now.")
};
pub(super) const RATE_LIMITED_OR_WAITING: Status = Status {
    headers: &[StatusHeader::RetryAfter, StatusHeader::RateLimitIfAny, StatusHeader::RateLimitPolicyIfAny],
    ..status(
        429,
        "The user has sent as many requests as it may for now, or 20 of them wait already: `code` says which.",
    )
};
pub(super) const RATE_LIMITED_OR_EXPORTING: Status = Status {
    headers: &[StatusHeader::RetryAfter, StatusHeader::RateLimitIfAny, StatusHeader::RateLimitPolicyIfAny],
    ..status(
        429,
        "The user has sent as many requests as it may for now, or an export of theirs runs already, or too many of others: `code` says which.",
    )
};
pub(super) const INTERNAL: Status = status(500, "A bug of the server; its log has the cause.");
pub(super) const UNAVAILABLE: Status = Status {
    headers: &[StatusHeader::RetryAfter],
    ..status(503, "The database or the sign-in system's keys are away, or the request took too long; try again.")
};

const fn status(code: u16, meaning: &'static str) -> Status {
    Status { code, meaning, headers: &[] }
}

/// Types that name what an operation can refuse with.
macro_rules! statuses {
    ($($(#[$doc:meta])* $name:ident = [$($status:ident),*];)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        struct $name;

        impl Statuses for $name {
            const STATUSES: &'static [Status] = &[$($status),*];
        }
    )*};
}
pub(super) use statuses;
