//! How many requests a user and an address have (draft-ietf-httpapi-ratelimit-headers), and which address that is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::length::{scaled, seconds};
use crate::load::{Tally, crowd};
use crate::raw::{Answer, Raw, head};
use crate::scene::Scene;
use crate::server::{Server, TITLE, run};

const USERS: &str = "RATE_LIMIT_PER_MINUTE";
const ADDRESSES: &str = "RATE_LIMIT_PER_MINUTE_ADDRESS";
const PROXIES: &str = "TRUSTED_PROXIES";

/// A client whose requests go through one connection.
struct Client<'a> {
    raw: Raw,
    server: &'a Server,
}

impl<'a> Client<'a> {
    async fn of(server: &'a Server) -> Self {
        Self { raw: Raw::to(&server.address()).await, server }
    }

    async fn get(&mut self, path: &str, headers: &str) -> Answer {
        self.raw.send(head("GET", path, headers)).await.unwrap();
        let answer = self.raw.answered(seconds(10)).await;
        if answer.says_close() {
            self.raw = Raw::to(&self.server.address()).await;
        }
        answer
    }

    /// How many of these are not refused for their number, and the last refusal. Each must be answered like this otherwise.
    async fn many(&mut self, count: usize, status: u16, path: &str, headers: impl Fn(usize) -> String) -> Many {
        let mut many = Many { taken: 0, refusal: None };
        for n in 0..count {
            let answer = self.get(path, &headers(n)).await;
            if answer.status == 429 {
                many.refusal = Some(answer);
            } else {
                assert_eq!(answer.status, status, "{answer:?}");
                many.taken += 1;
            }
        }
        many
    }
}

struct Many {
    taken: usize,
    refusal: Option<Answer>,
}

impl Many {
    /// So many were taken, or those too that the time has given back; the rest was refused as the draft wants it.
    #[track_caller]
    fn assert_limited(&self, most: usize) -> u64 {
        assert!((most..most + 4).contains(&self.taken), "{} were taken, of {most}", self.taken);
        let refusal = self.refusal.as_ref().expect("none was refused");
        assert_eq!(refusal.problem(), "rate-limited");
        let policy = refusal.header("ratelimit-policy");
        let (name, quota) = policy.split_once(';').unwrap();
        assert!(name.len() > 2 && name.starts_with('"') && name.ends_with('"'), "{policy}");
        assert_eq!(quota, format!("q={most};w=60"));
        let state = refusal.header("ratelimit");
        let reset = state.strip_prefix(&format!("{name};r=0;t=")).unwrap_or_else(|| panic!("{state}"));
        let (reset, wait): (u64, u64) = (reset.parse().unwrap(), refusal.header("retry-after").parse().unwrap());
        assert!((1..=60).contains(&reset) && (1..=60).contains(&wait), "{refusal:?}");
        wait
    }
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

pub(crate) async fn a_user_has_so_many_requests() {
    let server = Server::with(&[(USERS, "30")]).await;
    let (alice, bob) = (bearer(&server.token("alice")), bearer(&server.token("bob")));
    let mut client = Client::of(&server).await;
    let wait = client.many(45, 200, "/api/me/tasks", |_| alice.clone()).await.assert_limited(30);
    let policy = client.get("/api/alice/tasks", &alice).await;
    assert!(policy.header("ratelimit-policy").starts_with("\"user\";"), "{policy:?}");
    // The same user at another connection, another path and another name of it, with another token.
    let again = bearer(&server.token("alice"));
    assert_eq!(Client::of(&server).await.get("/api/alice/tasks", &again).await.status, 429);
    // Another user has as many, from the same address.
    client.many(45, 200, "/api/me/tasks", |_| bob.clone()).await.assert_limited(30);
    // The advice is good.
    sleep(Duration::from_secs(wait)).await;
    assert_eq!(client.get("/api/me/tasks", &alice).await.status, 200);
    // A refusal is no alarm.
    assert_eq!(server.alarms(), Vec::<String>::new());
}

pub(crate) async fn an_address_has_so_many_refused_tokens() {
    for token in ["Authorization: Bearer nothing\r\n", "Authorization: Bearer eyJhbGciOiJub25lIn0.e30.\r\n", ""] {
        let server = Server::with(&[(ADDRESSES, "20")]).await;
        let mut client = Client::of(&server).await;
        client.many(30, 401, "/api/me/tasks", |_| token.to_owned()).await.assert_limited(20);
        // Who has a good token is not the stranger beside.
        let alice = bearer(&server.token("alice"));
        assert_eq!(client.many(30, 200, "/api/me/tasks", |_| alice.clone()).await.taken, 30);
    }
}

pub(crate) async fn an_address_has_so_many_pages() {
    for path in ["/docs", "/openapi.json", "/problems", "/nothing"] {
        let server = Server::with(&[(ADDRESSES, "20")]).await;
        let status = if path == "/nothing" { 404 } else { 200 };
        let many = Client::of(&server).await.many(30, status, path, |_| String::new()).await;
        many.assert_limited(20);
    }
}

pub(crate) async fn probes_are_exempt() {
    let server = Server::with(&[(USERS, "5"), (ADDRESSES, "5")]).await;
    let mut client = Client::of(&server).await;
    client.many(8, 401, "/api/me/tasks", |_| String::new()).await.assert_limited(5);
    for path in ["/livez", "/readyz"] {
        assert_eq!(client.many(50, 200, path, |_| String::new()).await.taken, 50);
    }
}

pub(crate) async fn no_limit_is_zero() {
    let server = Server::with(&[(USERS, "0"), (ADDRESSES, "0")]).await;
    let alice = bearer(&server.token("alice"));
    let mut client = Client::of(&server).await;
    let answer = client.get("/api/me/tasks", &alice).await;
    assert_eq!((answer.header("ratelimit"), answer.header("ratelimit-policy")), ("", ""));
    assert_eq!(client.many(800, 200, "/api/me/tasks", |_| alice.clone()).await.taken, 800);
    assert_eq!(client.many(300, 401, "/api/me/tasks", |_| String::new()).await.taken, 300);
}

pub(crate) async fn six_hundred_is_the_default() {
    // An empty variable counts as not set.
    let server = Server::with(&[(USERS, ""), (ADDRESSES, "")]).await;
    let alice = bearer(&server.token("alice"));
    let mut client = Client::of(&server).await;
    let began = Instant::now();
    let many = client.many(900, 200, "/api/me/tasks", |_| alice.clone()).await;
    // Ten a second come back.
    let back = usize::try_from(began.elapsed().as_secs()).unwrap() * 10 + 10;
    assert!((600..600 + back).contains(&many.taken), "{}", many.taken);
    assert!(many.refusal.unwrap().header("ratelimit-policy").ends_with(";q=600;w=60"));
    let many = client.many(200, 401, "/api/me/tasks", |_| String::new()).await;
    assert!((120..130).contains(&many.taken), "{}", many.taken);
}

pub(crate) async fn a_header_that_anybody_can_send_is_not_believed() {
    // No proxy is trusted, or none that asks here.
    for proxies in ["", "192.0.2.0/24,2001:db8::/32"] {
        let server = Server::with(&[(ADDRESSES, "20"), (PROXIES, proxies)]).await;
        let mut client = Client::of(&server).await;
        let many = client.many(30, 401, "/api/me/tasks", |n| {
            format!("X-Forwarded-For: 192.0.2.{n}\r\nForwarded: for=9.9.9.{n}\r\n")
        });
        many.await.assert_limited(20);
    }
}

pub(crate) async fn the_address_is_the_last_that_no_proxy_has() {
    for proxies in ["127.0.0.1", "127.0.0.0/8, 10.0.0.0/8", "10.0.0.0/8,127.0.0.1/32,2001:db8:ffff::/48"] {
        let server = Server::with(&[(ADDRESSES, "10"), (PROXIES, proxies)]).await;
        let mut client = Client::of(&server).await;
        // Whoever writes more on the left stays who he is.
        let spoofed = |n: usize| format!("X-Forwarded-For: 198.51.100.{n}, 203.0.113.7\r\n");
        client.many(15, 401, "/api/me/tasks", spoofed).await.assert_limited(10);
        let spoofed = |n: usize| format!("X-Forwarded-For: 198.51.100.{n}\r\nX-Forwarded-For: 203.0.113.7\r\n");
        assert_eq!(client.many(3, 401, "/api/me/tasks", spoofed).await.taken, 0);
        // A proxy behind the proxy.
        let chained = |n: usize| format!("X-Forwarded-For: 198.51.100.{n} ,203.0.113.7,127.0.0.1\r\n");
        assert_eq!(client.many(3, 401, "/api/me/tasks", chained).await.taken, 0);
        // The same address, as systems for both families write it.
        let mapped = |_| "X-Forwarded-For: ::ffff:203.0.113.7\r\n".to_owned();
        assert_eq!(client.many(3, 401, "/api/me/tasks", mapped).await.taken, 0);
        // Others have requests of their own.
        let others = |n: usize| format!("X-Forwarded-For: 203.0.113.7, 198.51.100.{n}\r\n");
        assert_eq!(client.many(30, 401, "/api/me/tasks", others).await.taken, 30);
        // What is no address is the proxy's own, whatever it says.
        let nonsense = |n: usize| format!("X-Forwarded-For: 198.51.100.1, nonsense-{n}\r\n");
        client.many(15, 401, "/api/me/tasks", nonsense).await.assert_limited(10);
    }
}

pub(crate) async fn networks_of_ipv6_count_as_one() {
    let server = Server::with(&[(ADDRESSES, "10"), (PROXIES, "127.0.0.0/8")]).await;
    let mut client = Client::of(&server).await;
    let inside = |n: usize| format!("X-Forwarded-For: 2001:db8:1:2:{n:x}::{n:x}\r\n");
    client.many(15, 401, "/api/me/tasks", inside).await.assert_limited(10);
    let outside = |n: usize| format!("X-Forwarded-For: 2001:db8:1:{:x}::1\r\n", n + 3);
    assert_eq!(client.many(20, 401, "/api/me/tasks", outside).await.taken, 20);
}

pub(crate) async fn malformed_proxies_stop_the_start() {
    let table = [
        (PROXIES, "hunter2"),
        (PROXIES, "10.0.0.0/33"),
        (PROXIES, "10.0.0.0/8,,10.0.0.1"),
        (PROXIES, "2001:db8::/129"),
        (PROXIES, "10.0.0.0/-1"),
        (USERS, "hunter2"),
        (USERS, "-1"),
        (ADDRESSES, "1.5"),
        ("MAX_CONNECTIONS", "0"),
        ("MAX_CONNECTIONS", "hunter2"),
    ];
    for (name, value) in table {
        let (is_well, said) = run(&[], &[(name, value), ("LISTEN", "127.0.0.1:0")]);
        assert!(!is_well && said.contains(name), "{name}={value}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}

pub(crate) async fn a_flood_of_one_user_slows_nobody() {
    let scene = Scene::with(&[(USERS, "300")]).await;
    let (flood, alice) = (Tally::default(), Arc::new(scene.server.user("alice", &Tally::default())));
    let alice = Arc::new(alice.counted(&flood));
    // Eight clients that never wait.
    let seen = scene
        .under(crowd(8, scaled(seconds(4), seconds(20)), move |_| {
            let alice = Arc::clone(&alice);
            async move {
                alice.list("").await;
            }
        }))
        .await;
    println!("{flood}");
    flood.assert_honest(&[429]);
    assert!(flood.only(|sample| sample.status == 429).len() > 0, "{flood}");
    seen.assert_bounded();
    scene.server.user("bob", &Tally::default()).made(TITLE).await;
}
