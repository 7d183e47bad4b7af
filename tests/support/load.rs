//! Users and what they send: every answer is timed and counted.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// One user of a server.
#[derive(Clone)]
pub(crate) struct User {
    http: reqwest::Client,
    tasks: String,
    token: String,
    tally: Tally,
}

/// An answer.
pub(crate) struct Reply {
    /// 0: there was none.
    pub(crate) status: u16,
    pub(crate) body: Value,
}

/// What is known of one answer.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    /// The method and what it is for.
    what: &'static str,
    pub(crate) status: u16,
    pub(crate) took: Duration,
    began: Instant,
    ended: Instant,
    /// What is wrong with it in any case: no answer, or a 503 that does not say when to come back.
    fault: Option<String>,
}

/// The answers of one kind of users.
#[derive(Clone, Default)]
pub(crate) struct Tally(Arc<Mutex<Vec<Sample>>>);

impl User {
    pub(crate) fn new(http: &reqwest::Client, address: &str, name: &str, token: &str, tally: &Tally) -> Self {
        let tasks = format!("http://{address}/api/{name}/tasks");
        Self { http: http.clone(), tasks, token: token.to_owned(), tally: tally.clone() }
    }

    /// The same user, counted elsewhere.
    pub(crate) fn counted(&self, tally: &Tally) -> Self {
        Self { tally: tally.clone(), ..self.clone() }
    }

    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// Sends one request, once.
    pub(crate) async fn send(
        &self,
        what: &'static str,
        path: &str,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> Reply {
        let method: Method = what.split(' ').next().unwrap_or_default().parse().unwrap();
        let mut request = self.http.request(method, format!("{}{path}", self.tasks)).bearer_auth(&self.token);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = &body {
            request = request.json(body);
        }
        let began = Instant::now();
        let answer = async {
            let answer = request.send().await?;
            let (status, advice) = (answer.status().as_u16(), answer.headers().get("retry-after").cloned());
            Ok::<_, reqwest::Error>((status, advice, answer.bytes().await?))
        };
        let (status, body, fault) = match answer.await {
            Ok((503, None, _)) => (503, Value::Null, Some("503 without Retry-After".to_owned())),
            Ok((status, _, body)) => {
                let body: Value = serde_json::from_slice(&body).unwrap_or_default();
                let fault = (status >= 500 && status != 503).then(|| format!("{status} {body}"));
                (status, body, fault)
            }
            Err(error) => (0, Value::Null, Some(format!("no answer: {error:?}"))),
        };
        let (ended, took) = (Instant::now(), began.elapsed());
        self.tally.0.lock().unwrap().push(Sample { what, status, took, began, ended, fault });
        Reply { status, body }
    }

    pub(crate) async fn list(&self, query: &str) -> Reply {
        self.send("GET list", query, None, &[]).await
    }

    pub(crate) async fn get(&self, id: &str) -> Reply {
        self.send("GET task", &format!("/{id}"), None, &[]).await
    }

    pub(crate) async fn create(&self, title: &str) -> Reply {
        self.send("POST task", "", Some(json!({ "title": title })), &[]).await
    }

    /// A creation that is known by a key when it is sent again.
    pub(crate) async fn create_once(&self, title: &str, key: &str) -> Reply {
        let body = Some(json!({ "title": title }));
        self.send("POST task with a key", "", body, &[("Idempotency-Key", key)]).await
    }

    pub(crate) async fn patch(&self, id: &str, title: &str) -> Reply {
        self.send("PATCH task", &format!("/{id}"), Some(json!({ "title": title })), &[]).await
    }

    pub(crate) async fn put(&self, id: &str, title: &str) -> Reply {
        let body = Some(whole(title, false));
        self.send("PUT task", &format!("/{id}"), body, &[]).await
    }

    pub(crate) async fn complete(&self, id: &str) -> Reply {
        self.send("PATCH complete", &format!("/{id}/complete"), None, &[]).await
    }

    pub(crate) async fn delete(&self, id: &str) -> Reply {
        self.send("DELETE task", &format!("/{id}"), None, &[]).await
    }

    pub(crate) async fn delete_version(&self, id: &str, version: &str) -> Reply {
        self.send("DELETE task of a version", &format!("/{id}"), None, &[("If-Match", version)]).await
    }

    pub(crate) async fn bulk_create(&self, titles: &[String]) -> Reply {
        let tasks: Vec<_> = titles.iter().map(|title| json!({ "title": title })).collect();
        self.send("POST bulk-create", "/bulk-create", Some(json!({ "tasks": tasks })), &[]).await
    }

    pub(crate) async fn bulk_complete(&self, ids: &[&str]) -> Reply {
        self.send("POST bulk-complete", "/bulk-complete", Some(selection(ids)), &[]).await
    }

    pub(crate) async fn bulk_delete(&self, ids: &[&str]) -> Reply {
        self.send("POST bulk-delete", "/bulk-delete", Some(selection(ids)), &[]).await
    }

    /// The id of a new task, which must be stored at the first try.
    pub(crate) async fn made(&self, title: &str) -> String {
        let reply = self.create(title).await;
        assert_eq!(reply.status, 201, "{}", reply.body);
        reply.id().to_owned()
    }
}

fn selection(ids: &[&str]) -> Value {
    json!({ "tasks": ids.iter().map(|id| json!({ "id": id })).collect::<Vec<_>>() })
}

impl Reply {
    pub(crate) fn is_well(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The id of the task that is answered.
    pub(crate) fn id(&self) -> &str {
        self.body["data"]["id"].as_str().unwrap_or_else(|| panic!("no task: {} {}", self.status, self.body))
    }
}

impl Sample {
    pub(crate) fn is_well(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub(crate) fn is_read(&self) -> bool {
        self.what.starts_with("GET")
    }
}

impl Tally {
    /// Those of the answers that are so.
    pub(crate) fn only(&self, is_so: impl Fn(&Sample) -> bool) -> Self {
        let samples = self.0.lock().unwrap().iter().filter(|sample| is_so(sample)).cloned().collect();
        Self(Arc::new(Mutex::new(samples)))
    }

    /// The answers to what was sent since then.
    pub(crate) fn since(&self, start: Instant) -> Self {
        self.only(|sample| sample.began >= start)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// How many answers are no success.
    pub(crate) fn failures(&self) -> usize {
        self.only(|sample| !sample.is_well()).len()
    }

    /// How long after `start` a success came first.
    pub(crate) fn recovery(&self, start: Instant) -> Option<Duration> {
        let samples = self.0.lock().unwrap();
        let ends = samples.iter().filter(|sample| sample.is_well() && sample.ended >= start);
        ends.map(|sample| sample.ended - start).min()
    }

    /// The time that this part of the answers does not exceed.
    pub(crate) fn quantile(&self, part: f64) -> Duration {
        let mut times: Vec<_> = self.0.lock().unwrap().iter().map(|sample| sample.took).collect();
        times.sort();
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rank among some thousands"
        )]
        let rank = (times.len() as f64 * part) as usize;
        times.get(rank.min(times.len().saturating_sub(1))).copied().unwrap_or_default()
    }

    /// The slowest answer's time.
    pub(crate) fn slowest(&self) -> Duration {
        self.quantile(1.0)
    }

    /// Every answer is a success, and there are some.
    #[track_caller]
    pub(crate) fn assert_well(&self) {
        assert!(self.len() > 0, "nothing was asked");
        assert_eq!(self.failures(), 0, "{self}");
    }

    /// Nothing failed but by a 503 that says when to come back, or, with `refusals`, by one of these statuses.
    #[track_caller]
    pub(crate) fn assert_honest(&self, refusals: &[u16]) {
        let is_good = |sample: &Sample| {
            sample.fault.is_none() && (sample.is_well() || sample.status == 503 || refusals.contains(&sample.status))
        };
        let bad = self.only(|sample| !is_good(sample));
        assert_eq!(bad.len(), 0, "{self}");
    }
}

/// How many of which answers there were, with the first text of each fault, and the times.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut counts = BTreeMap::new();
        for Sample { what, status, fault, .. } in &*self.0.lock().unwrap() {
            let (count, first) = counts.entry((*what, *status)).or_insert((0, fault.clone()));
            *count += 1;
            *first = first.take().or_else(|| fault.clone());
        }
        for ((what, status), (count, fault)) in counts {
            write!(f, "{what}: {count} × {status}")?;
            write!(f, "{}; ", fault.map_or_else(String::new, |fault| format!(" ({fault})")))?;
        }
        let times = [0.5, 0.99, 1.0].map(|part| self.quantile(part));
        write!(f, "p50 {:?}, p99 {:?}, slowest {:?}", times[0], times[1], times[2])
    }
}

/// So many clients, each sending its next request when the last one is answered, for so long.
pub(crate) async fn crowd<W, F>(clients: usize, time: Duration, work: W)
where
    W: Fn(usize) -> F + Clone + Send + 'static,
    F: Future<Output = ()> + Send,
{
    let (end, mut all) = (Instant::now() + time, JoinSet::new());
    for client in 0..clients {
        let work = work.clone();
        all.spawn(async move {
            while Instant::now() < end {
                work(client).await;
            }
        });
    }
    while let Some(done) = all.join_next().await {
        done.unwrap();
    }
}

/// So many requests a second, whether or not the earlier ones are answered, for so long.
pub(crate) async fn paced<W, F>(rate: u32, time: Duration, work: W)
where
    W: Fn(usize) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate);
    let (end, mut all) = (Instant::now() + time, JoinSet::new());
    for count in 0.. {
        ticks.tick().await;
        if Instant::now() >= end {
            break;
        }
        all.spawn(work(count));
    }
    while let Some(done) = all.join_next().await {
        done.unwrap();
    }
}

/// Every writable member of a task that has a title and is completed or not.
pub(crate) fn whole(title: impl Into<Value>, is_completed: impl Into<Value>) -> Value {
    json!({
        "title": title.into(), "description": null, "due_date": null, "due_time": null, "priority": null, "tags": [],
        "is_completed": is_completed.into(),
    })
}
