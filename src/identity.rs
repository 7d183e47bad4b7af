//! Who calls: from a bearer token to the user it stands for.
//!
//! In come a token's text and the settings of whoever signs; out comes a user's id, or the reason why there is none. No
//! task, no path and no database is known here, and nothing of a token but its user's id leaves.
//!
//! Each file uses those below it:
//!
//! | file | what it is for |
//! | --- | --- |
//! | `token` | a token is taken apart and verified |
//! | `key_set` | the issuer's published set: fetched, kept, fetched again |
//! | `public_key` | the public keys that a setting holds |
//! | `key` | keys and sets of keys, and what each can verify |
//! | `point` | points that must be nobody's key |
//! | `secret` | shared secrets, the development key, tokens made with them |
//! | `claims` | what tokens say, and what they must |
//! | `jose` | JSON and base64url as tokens have them |

pub mod claims;
mod jose;
mod key;
pub mod key_set;
mod point;
pub mod public_key;
pub mod secret;
pub mod token;
