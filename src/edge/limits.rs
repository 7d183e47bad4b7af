//! How many requests a user and an address may send: the generic cell rate algorithm, per process.
//!
//! A user's good requests count for the user. What needs no user (the pages) and what has no good token counts for the
//! address. Good tokens are taken from every address, so that nobody is shut out by a neighbour.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use ipnet::IpNet;
use poem::http::{HeaderMap, HeaderValue};

/// After how many requests those that have not come back are forgotten: a table grows by this much at most between two
/// looks, some 40 bytes each.
const SWEEP: u64 = 65_536;

/// The limits of one kind of sender.
struct Limit {
    name: &'static str,
    per_minute: NonZeroU32,
    senders: RateLimiter<u64, DashMapStateStore<u64>, DefaultClock, StateInformationMiddleware>,
    count: AtomicU64,
    refused: AtomicU64,
}

/// What a sender has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quotum {
    name: &'static str,
    per_minute: u32,
    left: u32,
    /// Seconds until it is more: until one may be sent where none is left, else until it is whole again.
    reset: u64,
}

impl Limit {
    fn new(name: &'static str, per_minute: u32) -> Option<Self> {
        let per_minute = NonZeroU32::new(per_minute)?;
        let senders = RateLimiter::dashmap(Quota::per_minute(per_minute)).with_middleware();
        Some(Self { name, per_minute, senders, count: AtomicU64::new(0), refused: AtomicU64::new(0) })
    }

    /// Counts a request. The quotum that is left, or as an error that there is none.
    fn check(&self, sender: u64) -> Result<Quotum, Quotum> {
        if self.count.fetch_add(1, Relaxed) % SWEEP == SWEEP - 1 {
            self.senders.retain_recent();
            self.senders.shrink_to_fit();
        }
        let (name, per_minute) = (self.name, self.per_minute.get());
        match self.senders.check_key(&sender) {
            Ok(state) => {
                let left = state.remaining_burst_capacity();
                let reset = u64::from(per_minute - left.min(per_minute)) * 60 / u64::from(per_minute);
                Ok(Quotum { name, per_minute, left, reset: reset.max(1) })
            }
            Err(until) => {
                self.refused.fetch_add(1, Relaxed);
                let wait = until.wait_time_from(DefaultClock::default().now());
                Err(Quotum { name, per_minute, left: 0, reset: wait.as_secs() + 1 })
            }
        }
    }
}

impl Quotum {
    /// After how many seconds a request that was refused may be sent again.
    pub(super) fn retry_after(&self) -> u64 {
        self.reset
    }

    /// Says in an answer what is left (draft-ietf-httpapi-ratelimit-headers-10).
    pub(super) fn tell(&self, headers: &mut HeaderMap) {
        let Self { name, per_minute, left, reset } = self;
        let policy = HeaderValue::try_from(format!("\"{name}\";q={per_minute};w=60"));
        let limit = HeaderValue::try_from(format!("\"{name}\";r={left};t={reset}"));
        if let (Ok(policy), Ok(limit)) = (policy, limit) {
            headers.insert("ratelimit-policy", policy);
            headers.insert("ratelimit", limit);
        }
    }
}

/// How many requests may be sent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LimitSettings {
    /// Requests a minute of one user; 0: as many as they like.
    pub per_minute: u32,
    /// Requests a minute of one address, of those that have no good token.
    pub per_minute_of_an_address: u32,
    /// The proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
}

/// The limits of this process.
pub(crate) struct Limits {
    users: Option<Limit>,
    addresses: Option<Limit>,
    trusted: Vec<IpNet>,
    hash: RandomState,
}

impl Limits {
    pub(crate) fn new(settings: &LimitSettings) -> Self {
        Self {
            users: Limit::new("user", settings.per_minute),
            addresses: Limit::new("address", settings.per_minute_of_an_address),
            trusted: settings.trusted_proxies.clone(),
            hash: RandomState::new(),
        }
    }

    /// A number for a user, by which nobody can find another with the same.
    pub(super) fn number(&self, user: &str) -> u64 {
        self.hash.hash_one(user)
    }

    /// Counts a request of a user; `None` where there is no limit.
    pub(super) fn of_user(&self, number: u64) -> Option<Result<Quotum, Quotum>> {
        Some(self.users.as_ref()?.check(number))
    }

    /// Counts a request without a good token.
    pub(super) fn of_address(&self, client: IpAddr) -> Option<Result<Quotum, Quotum>> {
        Some(self.addresses.as_ref()?.check(self.hash.hash_one(network(client))))
    }

    /// How many requests were refused: of users, of addresses.
    pub(crate) fn refused(&self) -> [u64; 2] {
        [&self.users, &self.addresses].map(|limit| limit.as_ref().map_or(0, |limit| limit.refused.load(Relaxed)))
    }

    /// Who sent the request: the peer or, where that is a trusted proxy, the last address of `X-Forwarded-For` that is none.
    /// What stands before that one anybody can write.
    pub(super) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let is_trusted = |address: IpAddr| self.trusted.iter().any(|network| network.contains(&address.to_canonical()));
        if self.trusted.is_empty() || !is_trusted(peer) {
            return peer;
        }
        let mut client = peer;
        for value in headers.get_all("x-forwarded-for").iter().rev() {
            // By bytes: what clients write before the proxies' own need be no text.
            for piece in value.as_bytes().rsplit(|byte| *byte == b',') {
                let text = str::from_utf8(piece.trim_ascii()).unwrap_or_default();
                let Some(address) = address(text) else { return client };
                client = address;
                if !is_trusted(address) {
                    return client;
                }
            }
        }
        client
    }
}

/// An address as proxies write it: some with a port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.split(']').next()).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<std::net::SocketAddr>().ok().map(|address| address.ip()))
}

/// Whom an address stands for: of IPv6 everybody has a /64 at least (RFC 6177).
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(per_minute: u32, trusted: &[&str]) -> Limits {
        let trusted_proxies = trusted.iter().map(|network| network.parse().unwrap()).collect();
        Limits::new(&LimitSettings { per_minute, per_minute_of_an_address: per_minute, trusted_proxies })
    }

    fn forwarded(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("x-forwarded-for", HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    #[test]
    fn a_user_has_a_minute_of_requests_at_once_and_others_have_theirs() {
        let limits = limits(60, &[]);
        let left: Vec<_> = (0..61).map(|_| limits.of_user(limits.number("a")).unwrap()).collect();
        assert_eq!(left[0].unwrap(), Quotum { name: "user", per_minute: 60, left: 59, reset: 1 });
        assert_eq!(left[59].unwrap().left, 0);
        assert_eq!(left[60].unwrap_err(), Quotum { name: "user", per_minute: 60, left: 0, reset: 1 });
        assert!(limits.of_user(limits.number("b")).unwrap().is_ok());
        assert_eq!(limits.refused(), [1, 0]);
    }

    #[test]
    fn nothing_is_counted_where_there_is_no_limit() {
        let limits = limits(0, &[]);
        assert!(limits.of_user(limits.number("a")).is_none());
        assert!(limits.of_address("192.0.2.1".parse().unwrap()).is_none());
    }

    #[test]
    fn what_is_left_is_told_in_two_headers() {
        let mut headers = HeaderMap::new();
        Quotum { name: "user", per_minute: 600, left: 7, reset: 3 }.tell(&mut headers);
        assert_eq!(headers["ratelimit-policy"], "\"user\";q=600;w=60");
        assert_eq!(headers["ratelimit"], "\"user\";r=7;t=3");
    }

    #[test]
    fn only_trusted_proxies_are_believed_and_only_what_they_wrote_themselves() {
        let client = |trusted: &[&str], peer: &str, values: &[&str]| {
            limits(1, trusted).client(peer.parse().unwrap(), &forwarded(values)).to_string()
        };
        let trusted = &["10.0.0.0/8", "2001:db8::/32"];
        assert_eq!(client(&[], "10.0.0.1", &["192.0.2.7"]), "10.0.0.1");
        assert_eq!(client(trusted, "192.0.2.1", &["192.0.2.7"]), "192.0.2.1");
        assert_eq!(client(trusted, "10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(client(trusted, "10.0.0.1", &["192.0.2.7"]), "192.0.2.7");
        assert_eq!(client(trusted, "::ffff:10.0.0.1", &["192.0.2.7"]), "192.0.2.7");
        assert_eq!(client(trusted, "10.0.0.1", &["192.0.2.9, 192.0.2.7"]), "192.0.2.7");
        assert_eq!(client(trusted, "10.0.0.1", &["192.0.2.9", "192.0.2.7, 10.9.9.9"]), "192.0.2.7");
        assert_eq!(client(trusted, "10.0.0.1", &["192.0.2.7, 2001:db8::5"]), "192.0.2.7");
        assert_eq!(client(trusted, "10.0.0.1", &["é, 192.0.2.7"]), "192.0.2.7");
        assert_eq!(client(trusted, "10.0.0.1", &["192.0.2.7:1234"]), "192.0.2.7");
        assert_eq!(client(trusted, "10.0.0.1", &["[2001:dead::7]:1234"]), "2001:dead::7");
        assert_eq!(client(trusted, "10.0.0.1", &["192.0.2.7, nonsense"]), "10.0.0.1");
        assert_eq!(client(trusted, "10.0.0.1", &["nonsense, 10.0.0.2"]), "10.0.0.2");
    }

    #[test]
    fn a_network_of_ipv6_is_one_sender() {
        let network = |text: &str| super::network(text.parse().unwrap()).to_string();
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(network("::ffff:192.0.2.1"), "192.0.2.1");
        assert_eq!(network("192.0.2.1"), "192.0.2.1");
    }
}
