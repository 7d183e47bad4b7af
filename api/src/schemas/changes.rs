//! What changed since a client last looked: a user's changes have numbers, and a token stands for how far somebody has read them.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::str::FromStr;

use poem_openapi::Object;
use poem_openapi::registry::MetaSchema;
use serde::{Serialize, Serializer};
use siphasher::sip::SipHasher13;
use uuid::Uuid;

use crate::http::error::Error;
use crate::http::header::PageTag;
use crate::http::json::Written;
use crate::http::newtype::{Invalid, openapi_type};
use crate::schemas::page::Limit;
use crate::schemas::task::{Task, TaskId};
use crate::schemas::user::UserId;
use crate::schemas::written::{length_of, write_list};

/// How far a user's changes go, and whose they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Tells these changes from another user's, and from those of the same user in another life or past.
    mark: u64,
    /// The number of the last change.
    pub number: i64,
}

impl Position {
    /// That of a user of this incarnation.
    #[must_use]
    pub fn new(user: &UserId, incarnation: Uuid, number: i64) -> Self {
        Self { mark: mark(user, Some(incarnation)), number }
    }

    /// That of a user of whom nothing is known.
    #[must_use]
    pub fn absent(user: &UserId) -> Self {
        Self { mark: mark(user, None), number: 0 }
    }

    /// What a reader of all that there is knows.
    #[must_use]
    pub fn token(&self) -> ChangesToken {
        self.behind(self.number, Uuid::max(), 0)
    }

    /// The tag of a page that is asked for by this query: the same as long as nothing of the user's changes, and another user's never. The
    /// version of the program is in it, as another version may write other members.
    pub(crate) fn tag(&self, query: Option<&str>) -> PageTag {
        let (mark, number) = (self.mark.to_be_bytes(), self.number.to_be_bytes());
        let texts = [env!("CARGO_PKG_VERSION"), "?", query.unwrap_or_default()].concat();
        PageTag::new(SipHasher13::new().hash(&[&mark, &number, texts.as_bytes()].concat()))
    }

    /// What a reader knows who has read so far; `until`: who began without a token, and where deletions count from then on.
    #[must_use]
    pub fn behind(&self, number: i64, id: Uuid, until: i64) -> ChangesToken {
        ChangesToken { mark: self.mark, number, id, until }
    }
}

/// Stays the same from one version of the program to the next, as clients keep tokens. It is never 0, which is any user's.
fn mark(user: &UserId, incarnation: Option<Uuid>) -> u64 {
    let bytes = incarnation.map(Uuid::into_bytes);
    let whose = bytes.iter().flatten().chain(user.as_str().as_bytes()).copied().collect::<Vec<u8>>();
    SipHasher13::new_with_keys(0, bytes.is_some().into()).hash(&whose).max(1)
}

/// Over how many seconds those are spread who must read everything anew.
const SPREAD: u64 = 10;

/// How far somebody has read. In hexadecimal digits: whose changes, the number of the last change, its id, and while a first reading
/// lasts, the number at which it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangesToken {
    mark: u64,
    /// The number of the last change that was read.
    pub number: i64,
    /// The last id of that number that was read.
    pub id: Uuid,
    /// Deletions of this number and before are left out.
    pub until: i64,
}

impl ChangesToken {
    /// Of those who have read nothing: any user's, in any life.
    pub const START: Self = Self { mark: 0, number: 0, id: Uuid::nil(), until: 0 };

    const LENGTH: usize = 16 + 16 + 32 + 16;

    fn schema() -> MetaSchema {
        MetaSchema { pattern: Some(format!("^[0-9a-f]{{{}}}$", Self::LENGTH)), ..MetaSchema::new("string") }
    }

    /// Whether what it stands for can be gone on with there, where deletions are not remembered any more up to this number.
    ///
    /// # Errors
    /// [`Error::ChangesExpired`] where it is of another user, or of this one in another life or past, or where deletions were forgotten
    /// since.
    pub fn check(&self, position: &Position, forgotten: i64) -> Result<(), Error> {
        // Of a number that was read in part, the rest is still to come.
        let read = self.number - i64::from(self.id != Uuid::max());
        let is_good = *self == Self::START
            || self.mark == position.mark
                && self.number.max(self.until) <= position.number
                && forgotten <= read.max(self.until);
        if is_good {
            return Ok(());
        }
        // All who wait may be told so at once, and then each reads everything.
        Err(Error::ChangesExpired(1 + RandomState::new().hash_one(()) % SPREAD))
    }
}

impl fmt::Display for ChangesToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mark, number, id, until } = self;
        write!(f, "{mark:016x}{number:016x}{}{until:016x}", id.simple())
    }
}

impl FromStr for ChangesToken {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let parse = || {
            let (mark, rest) = text.split_at_checked(16)?;
            let (number, rest) = rest.split_at_checked(16)?;
            let (id, until) = rest.split_at_checked(32)?;
            let read = |text| i64::from_str_radix(text, 16).ok();
            let token = Self {
                mark: u64::from_str_radix(mark, 16).ok()?,
                number: read(number)?,
                id: Uuid::try_parse(id).ok()?,
                until: read(until)?,
            };
            // One spelling for each: what we would not have written is refused.
            Some(token).filter(|token| token.to_string() == text)
        };
        parse().ok_or(Invalid("must be the `next` of an earlier answer, unchanged; or leave it out to begin anew"))
    }
}

impl Serialize for ChangesToken {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

openapi_type!(ChangesToken);

/// How many seconds an answer may wait for something to change: 0 to 30, 0 when not given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Wait(u8);

impl Wait {
    /// The longest.
    pub const MAX: u8 = 30;

    fn schema() -> MetaSchema {
        MetaSchema { minimum: Some(0.0), maximum: Some(f64::from(Self::MAX)), ..MetaSchema::new("integer") }
    }

    /// The seconds.
    #[must_use]
    pub fn seconds(self) -> u8 {
        self.0
    }
}

impl FromStr for Wait {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text.parse() {
            Ok(n @ 0..=Self::MAX) if n.to_string() == text => Ok(Self(n)),
            _ => Err(Invalid("must be a whole number of seconds, from 0 to 30")),
        }
    }
}

openapi_type!(Wait);

/// What a caller asks of the changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangesRequest {
    /// How far they have read.
    pub since: ChangesToken,
    /// At most so many tasks and deletions.
    pub limit: Limit,
    /// For how long to wait for some.
    pub wait: Wait,
}

/// What changed, in the order in which it did: each task once, as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize)]
pub struct Changes {
    /// The tasks that were created or changed, as they are now.
    #[oai(validator(max_items = 100))]
    pub data: Vec<Task>,
    /// The ids of tasks that were deleted; none of them is in `data`.
    #[oai(validator(max_items = 100))]
    pub deleted: Vec<TaskId>,
    /// Where to go on.
    pub meta: ChangesMeta,
}

/// Where to go on.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize)]
pub struct ChangesMeta {
    /// Send it as `since` to get what comes next. Keep it with what was read.
    pub next: ChangesToken,
    /// Whether there is more already. Until it is false, not all is there that there was.
    pub more: bool,
}

impl Changes {
    /// Whether nothing has changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.data.is_empty() && self.deleted.is_empty()
    }
}

impl Written for Changes {
    fn length(&self) -> usize {
        length_of(&self.data) + 48 * self.deleted.len()
    }

    fn write(&self, text: &mut Vec<u8>) -> serde_json::Result<()> {
        write_list(&self.data, text)?;
        text.extend_from_slice(b",\"deleted\":");
        serde_json::to_writer(&mut *text, &self.deleted)?;
        text.extend_from_slice(b",\"meta\":");
        serde_json::to_writer(&mut *text, &self.meta)?;
        text.push(b'}');
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_bound_to_its_user_their_life_and_past() {
        let [alice, bob] = ["alice", "bob"].map(|id| UserId::from_stored(id.to_owned()));
        let [one, two] = [1, 2].map(Uuid::from_u128);
        let position = Position::new(&alice, one, 7);
        let is_good = |token: ChangesToken| token.to_string().parse() == Ok(token) && token.check(&position, 3).is_ok();
        assert!(is_good(ChangesToken::START) && is_good(position.token()));
        for (number, until, expected) in
            [(3, 0, true), (2, 0, false), (2, 7, true), (0, 2, false), (7, 7, true), (8, 0, false), (1, 8, false)]
        {
            assert_eq!(is_good(position.behind(number, Uuid::max(), until)), expected, "{number} {until}");
        }
        let other = [Position::new(&bob, one, 7), Position::new(&alice, two, 7), Position::new(&alice, Uuid::nil(), 7)];
        for other in other.iter().chain([&Position::absent(&alice)]) {
            assert!(!is_good(other.behind(7, Uuid::max(), 0)));
            assert_ne!(other.tag(None).to_string(), position.tag(None).to_string());
        }
        let half = |number, until| position.behind(number, Uuid::from_u128(1), until);
        assert!(!is_good(half(3, 0)) && is_good(half(4, 0)) && is_good(half(7, 0)) && is_good(half(3, 3)));
        assert_ne!(Position::absent(&alice).token(), ChangesToken::START);
        // Clients keep tokens: another text here makes each of them read all anew.
        assert_eq!(
            position.token().to_string(),
            "6f95a4bfd028f1de0000000000000007ffffffffffffffffffffffffffffffff0000000000000000"
        );
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let good = ChangesToken::START.to_string();
        assert_eq!(good.parse(), Ok(ChangesToken::START));
        let wrong = [String::new(), good.to_uppercase() + "0", good[1..].to_owned(), good.replacen('0', "g", 1)];
        for wrong in wrong.into_iter().chain([good.replace('0', "F"), format!("{}+1{}", &good[..16], &good[18..])]) {
            assert!(wrong.parse::<ChangesToken>().is_err(), "{wrong}");
        }
        for (wait, is_good) in [
            ("0", true),
            ("30", true),
            ("31", false),
            ("-1", false),
            ("01", false),
            ("1.5", false),
            ("+1", false),
            ("", false),
        ] {
            assert_eq!(wait.parse::<Wait>().is_ok(), is_good, "{wait}");
        }
    }
}
