//! What changed since: whoever folds the answers has what the server has, nothing is lost and nothing comes twice.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use reqwest::Method;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use tasks_server::tasks::repository::Repository;
use tasks_server::tasks::service::Clock;
use tokio::time::{sleep, timeout};

use crate::client::{Answer, Client, id};
use crate::server::Server;

on_each_engine!(
    it_begins_with_what_there_is_and_goes_on_with_what_changes,
    many_that_change_at_once_are_listed_once_whatever_the_limit,
    a_first_reading_leaves_out_what_was_gone_before,
    a_task_that_changes_on_the_way_comes_later,
    who_waits_is_woken_by_any_server_and_by_hand,
    who_waits_gets_nothing_in_the_end,
    so_many_of_a_user_may_wait,
    a_token_that_cannot_be_gone_on_with_is_gone,
    a_token_of_nothing_is_always_good,
    a_list_has_another_tag_after_each_change_and_for_each_user,
    a_restored_database_is_told_from_its_past,
);

/// A copy of a user's tasks.
#[derive(Default)]
pub(crate) struct Copy {
    pub(crate) tasks: BTreeMap<String, Value>,
    pub(crate) since: Option<String>,
}

impl Copy {
    /// Reads one answer; whether there is more, and how many it had.
    pub(crate) async fn read(&mut self, client: &Client, more: &str) -> (bool, usize) {
        let since = self.since.as_ref().map(|since| format!("since={since}&")).unwrap_or_default();
        let answer = client.list(&format!("/changes?{since}{more}")).await;
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        self.fold(&answer.json())
    }

    fn fold(&mut self, answer: &Value) -> (bool, usize) {
        let [data, deleted] = [&answer["data"], &answer["deleted"]].map(|list| list.as_array().unwrap());
        for task in data {
            self.tasks.insert(id(task).to_owned(), task.clone());
        }
        for gone in deleted {
            assert!(!data.iter().any(|task| task["id"] == *gone), "{gone} is in both");
            self.tasks.remove(gone.as_str().unwrap());
        }
        let (more, count) = (answer["meta"]["more"].as_bool().unwrap(), data.len() + deleted.len());
        assert!(!more || count > 0, "an empty answer has no more");
        self.since = answer["meta"]["next"].as_str().map(str::to_owned);
        (more, count)
    }

    /// Reads all that there is; how many each answer had.
    pub(crate) async fn catch_up(&mut self, client: &Client, limit: usize) -> Vec<usize> {
        let mut counts = Vec::new();
        loop {
            let (more, count) = self.read(client, &format!("limit={limit}")).await;
            counts.push(count);
            if !more {
                return counts;
            }
        }
    }

    /// It is what the list shows.
    pub(crate) async fn is_right(&self, client: &Client) {
        let (mut listed, mut cursor) = (BTreeMap::new(), Value::Null);
        loop {
            let from = cursor.as_str().map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
            let page = client.list(&format!("?limit=100{from}")).await.json();
            listed.extend(page["data"].as_array().unwrap().iter().map(|task| (id(task).to_owned(), task.clone())));
            cursor = page["meta"]["next_cursor"].clone();
            if cursor.is_null() {
                break;
            }
        }
        assert_eq!(self.tasks, listed);
    }
}

async fn bulk(client: &Client, verb: &str, tasks: Vec<Value>) -> Answer {
    client.on(Method::POST, &format!("/bulk-{verb}")).json(&json!({ "tasks": tasks })).send().await
}

async fn run(server: &Server, text: &str) {
    let other = sea_orm::Database::connect(&server.direct()).await.unwrap();
    other.execute_unprepared(text).await.unwrap();
}

async fn it_begins_with_what_there_is_and_goes_on_with_what_changes(server: Server) {
    let alice = server.user("alice");
    let mut copy = Copy::default();
    assert_eq!(copy.catch_up(&alice, 100).await, [0]);
    let mut tasks = Vec::new();
    for n in 0..5 {
        tasks.push(alice.create(&format!("{n}")).await);
    }
    server.user("bob").create("another's").await;
    assert_eq!(copy.catch_up(&alice, 2).await, [2, 2, 1]);
    copy.is_right(&alice).await;
    // In the order in which it happened, each once, as it is now.
    alice.patch(id(&tasks[3]), json!({ "title": "first" })).await.data(200);
    alice.patch(id(&tasks[0]), json!({ "title": "second" })).await.data(200);
    alice.delete(id(&tasks[1])).await;
    alice.complete(id(&tasks[3]), None).await.data(200);
    let since = copy.since.clone().unwrap();
    let answer = alice.list(&format!("/changes?since={since}")).await.json();
    let titles: Vec<_> = answer["data"].as_array().unwrap().iter().map(|task| &task["title"]).collect();
    assert_eq!(titles, ["second", "first"]);
    assert_eq!(answer["deleted"], json!([id(&tasks[1])]));
    assert_eq!(copy.catch_up(&alice, 1).await, [1, 1, 1]);
    copy.is_right(&alice).await;
    // What changes nothing is no change.
    alice.complete(id(&tasks[3]), None).await.data(200);
    assert_eq!(copy.catch_up(&alice, 1).await, [0]);
    // Asked again with the same token, it is the same.
    assert_eq!(alice.list(&format!("/changes?since={since}")).await.json(), answer);
}

async fn many_that_change_at_once_are_listed_once_whatever_the_limit(server: Server) {
    let alice = server.user("alice");
    let (mut copies, limits) = ([Copy::default(), Copy::default(), Copy::default()], [1, 3, 99]);
    let created =
        bulk(&alice, "create", (0..100).map(|n| json!({ "title": format!("{n}") })).collect()).await.data(201);
    let all: Vec<_> = created.as_array().unwrap().iter().map(|task| json!({ "id": id(task) })).collect();
    for step in 0..4 {
        for (copy, limit) in copies.iter_mut().zip(limits) {
            let counts = copy.catch_up(&alice, limit).await;
            let expected = [100, 60, 40, 100][step];
            assert_eq!(counts.iter().sum::<usize>(), expected, "{step} {limit}");
            assert_eq!(counts.len(), expected.div_ceil(limit));
            copy.is_right(&alice).await;
        }
        match step {
            0 => assert_eq!(bulk(&alice, "complete", all[..60].to_vec()).await.status, 200),
            1 => {
                let change = |task: &Value| json!({ "id": task["id"], "tags": ["x"] });
                let answer = bulk(&alice, "patch", all[60..].iter().map(change).collect()).await;
                assert_eq!(answer.status, 200);
            }
            _ => assert_eq!(bulk(&alice, "delete", all.clone()).await.status, 204),
        }
    }
}

async fn a_first_reading_leaves_out_what_was_gone_before(server: Server) {
    let alice = server.user("alice");
    let mut tasks = Vec::new();
    for n in 0..8 {
        tasks.push(alice.create(&format!("{n}")).await);
    }
    for task in &tasks[..4] {
        alice.delete(id(task)).await;
    }
    let mut copy = Copy::default();
    let (more, count) = copy.read(&alice, "limit=2").await;
    assert!(more && count == 2);
    // One that was read already, one that was not, and one that was gone.
    alice.delete(id(&tasks[4])).await;
    alice.delete(id(&tasks[7])).await;
    assert_eq!(copy.catch_up(&alice, 100).await, [3], "one task and two deletions");
    copy.is_right(&alice).await;
    assert_eq!(copy.tasks.len(), 2);
    // From then on each deletion counts.
    alice.delete(id(&tasks[6])).await;
    assert_eq!(copy.catch_up(&alice, 100).await, [1]);
    copy.is_right(&alice).await;
}

async fn a_task_that_changes_on_the_way_comes_later(server: Server) {
    let alice = server.user("alice");
    let mut tasks = Vec::new();
    for n in 0..6 {
        tasks.push(alice.create(&format!("{n}")).await);
    }
    let mut copy = Copy::default();
    let mut more = true;
    let mut n = 0;
    while more {
        (more, _) = copy.read(&alice, "limit=1").await;
        if n < 6 {
            alice.patch(id(&tasks[(n + 2) % 6]), json!({ "title": format!("changed {n}") })).await.data(200);
            n += 1;
            more = true;
        }
    }
    copy.is_right(&alice).await;
}

/// An answer on its way.
fn waiting(client: &Client, copy: &Copy, wait: u8) -> tokio::task::JoinHandle<(Answer, Duration)> {
    let since = copy.since.as_ref().map(|since| format!("&since={since}")).unwrap_or_default();
    let call = client.on(Method::GET, &format!("/changes?wait={wait}{since}"));
    tokio::spawn(async move {
        let begun = Instant::now();
        (call.send().await, begun.elapsed())
    })
}

async fn who_waits_is_woken_by_any_server_and_by_hand(server: Server) {
    let beside = server.beside(Clock::system()).await;
    let (alice, other) = (server.user("alice"), beside.user("alice"));
    let mut copy = Copy::default();
    let mut task = Value::Null;
    // The first of them wakes from an empty feed.
    for (writer, soon) in [(&alice, true), (&other, false), (&alice, true)] {
        let answer = waiting(&alice, &copy, 10);
        sleep(Duration::from_millis(200)).await;
        assert!(!answer.is_finished());
        task = writer.create("news").await;
        let (answer, took) = timeout(Duration::from_secs(5), answer).await.unwrap().unwrap();
        assert_eq!(answer.data(200), json!([task]));
        copy.fold(&answer.json());
        let limit = Duration::from_secs(if soon { 5 } else { 8 });
        assert!(took < limit, "{took:?}");
    }
    let answer = waiting(&alice, &copy, 10);
    sleep(Duration::from_millis(200)).await;
    run(&server, "UPDATE tasks SET title = 'by hand' WHERE user_id = 'alice'").await;
    let (answer, _) = timeout(Duration::from_secs(5), answer).await.unwrap().unwrap();
    assert_eq!(answer.json()["data"].as_array().unwrap().len(), 3);
    copy.fold(&answer.json());
    copy.is_right(&alice).await;
    // Another's news wakes nobody, and what is there is not waited for.
    let quiet = waiting(&alice, &copy, 1);
    sleep(Duration::from_millis(100)).await;
    server.user("bob").create("another's").await;
    let (answer, took) = quiet.await.unwrap();
    assert!(answer.json()["data"].as_array().unwrap().is_empty() && took > Duration::from_millis(900));
    alice.delete(id(&task)).await;
    let (answer, took) = waiting(&alice, &copy, 30).await.unwrap();
    assert_eq!(answer.json()["deleted"], json!([id(&task)]));
    assert!(took < Duration::from_secs(10), "{took:?}");
}

async fn who_waits_gets_nothing_in_the_end(server: Server) {
    let alice = server.user("alice");
    alice.create("x").await;
    let mut copy = Copy::default();
    copy.catch_up(&alice, 100).await;
    let since = copy.since.clone().unwrap();
    let (answer, took) = waiting(&alice, &copy, 1).await.unwrap();
    assert_eq!(answer.json(), json!({ "data": [], "deleted": [], "meta": { "next": since, "more": false } }));
    assert!((Duration::from_millis(900)..Duration::from_secs(3)).contains(&took), "{took:?}");
    // At once when the server ends.
    let answer = waiting(&alice, &copy, 30);
    sleep(Duration::from_millis(200)).await;
    drop(server);
    let (answer, took) = answer.await.unwrap();
    assert!(answer.data(200).as_array().unwrap().is_empty() && took < Duration::from_secs(10), "{took:?}");
}

async fn so_many_of_a_user_may_wait(server: Server) {
    let alice = server.user("alice");
    let mut copy = Copy::default();
    copy.catch_up(&alice, 100).await;
    let mut all: Vec<_> = (0..20).map(|_| waiting(&alice, &copy, 10)).collect();
    sleep(Duration::from_millis(500)).await;
    let answer = alice.list("/changes?wait=10").await;
    answer.problem(429, "too-many-waiting");
    assert_eq!(answer.header("retry-after"), "2");
    // Who does not wait, and who else there is, are answered; so is who comes when another has left.
    assert_eq!(alice.list("/changes?wait=0").await.status, 200);
    assert_eq!(server.user("bob").list("/changes?wait=1").await.status, 200);
    all.pop().unwrap().abort();
    sleep(Duration::from_millis(300)).await;
    assert_eq!(alice.list("/changes?wait=1").await.status, 200);
    let task = alice.create("news").await;
    for answer in all {
        assert_eq!(answer.await.unwrap().0.data(200), json!([task]));
    }
}

async fn a_token_that_cannot_be_gone_on_with_is_gone(server: Server) {
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let repository = Repository::new(server.database());
    let read = async |client: &Client| {
        let mut copy = Copy::default();
        copy.catch_up(client, 100).await;
        copy.since.unwrap()
    };
    let is_gone = async |client: &Client, since: &str| {
        let answer = client.list(&format!("/changes?since={since}&wait=5")).await;
        answer.problem(410, "changes-expired");
        assert!((1..=10).contains(&answer.header("retry-after").parse().unwrap()));
    };
    let task = alice.create("x").await;
    bob.create("x").await;
    let first = read(&alice).await;
    is_gone(&bob, &first).await;
    // Ahead of the counter, by whoever made it.
    is_gone(&alice, &first.replacen("0000000000000001", "0000000000000002", 1)).await;
    // Deletions that are forgotten: before them nothing is sure, behind them all is.
    alice.delete(id(&task)).await;
    let second = read(&alice).await;
    let (now, ago) = (Utc::now() + TimeDelta::minutes(1), Utc::now() - TimeDelta::minutes(1));
    assert_eq!(repository.forget(ago.into()).await.unwrap(), 0);
    assert_eq!(alice.list(&format!("/changes?since={first}")).await.json()["deleted"], json!([id(&task)]));
    // A time in whole seconds is written in two ways.
    run(&server, "UPDATE deletions SET deleted_at = '2026-01-31T09:30:05.000+00:00'").await;
    assert_eq!(repository.forget(now.into()).await.unwrap(), 1);
    is_gone(&alice, &first).await;
    assert_eq!(alice.list(&format!("/changes?since={second}")).await.status, 200);
    // Another past, told to those who wait, too.
    let kept = Copy { since: Some(second.clone()), ..Copy::default() };
    let held = waiting(&alice, &kept, 10);
    sleep(Duration::from_millis(200)).await;
    assert_eq!(repository.renew().await.unwrap(), 2);
    held.await.unwrap().0.problem(410, "changes-expired");
    is_gone(&alice, &second).await;
    // Another life.
    let third = read(&alice).await;
    run(&server, "DELETE FROM users WHERE id = 'alice'").await;
    is_gone(&alice, &third).await;
    alice.create("again").await;
    alice.create("again").await;
    is_gone(&alice, &third).await;
    for wrong in ["", "x", &third[1..], &third.to_uppercase().replace('0', "F")] {
        assert_eq!(
            alice.list(&format!("/changes?since={wrong}")).await.parameters(),
            [("query".into(), "since".into())]
        );
    }
    for wrong in ["31", "-1", "1.5", "x", ""] {
        assert_eq!(alice.list(&format!("/changes?wait={wrong}")).await.parameters(), [("query".into(), "wait".into())]);
    }
    assert_eq!(alice.list("/changes?limit=0").await.parameters(), [("query".into(), "limit".into())]);
}

async fn a_token_of_nothing_is_always_good(server: Server) {
    let alice = server.user("alice");
    let mut copy = Copy::default();
    copy.catch_up(&alice, 100).await;
    let start = copy.since.clone();
    alice.create("x").await;
    let gone = alice.create("y").await;
    alice.delete(id(&gone)).await;
    run(&server, "DELETE FROM users WHERE id = 'alice'").await;
    alice.create("z").await;
    Repository::new(server.database()).renew().await.unwrap();
    assert_eq!(copy.catch_up(&alice, 100).await, [1]);
    copy.is_right(&alice).await;
    let mut bobs = Copy { since: start, ..Copy::default() };
    assert_eq!(bobs.catch_up(&server.user("bob"), 100).await, [0]);
}

async fn a_list_has_another_tag_after_each_change_and_for_each_user(server: Server) {
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let tag = async |client: &Client| client.list("").await.header("etag").to_owned();
    let mut seen = vec![tag(&alice).await];
    let task = alice.create("x").await;
    seen.push(tag(&alice).await);
    alice.complete(id(&task), None).await.data(200);
    seen.push(tag(&alice).await);
    run(&server, "UPDATE tasks SET title = 'by hand' WHERE user_id = 'alice'").await;
    seen.push(tag(&alice).await);
    alice.delete(id(&task)).await;
    seen.push(tag(&alice).await);
    Repository::new(server.database()).renew().await.unwrap();
    seen.push(tag(&alice).await);
    // As many changes of another user, whose list has the same address.
    let task = bob.create("x").await;
    for n in 0..2 {
        bob.patch(id(&task), json!({ "title": format!("{n}") })).await.data(200);
    }
    bob.delete(id(&task)).await;
    let to_me = |client: &Client, tag: &str| client.to(Method::GET, "/api/me/tasks").header("if-none-match", tag);
    let last = seen.last().unwrap().clone();
    assert_eq!(to_me(&alice, &last).send().await.status, 304);
    assert_eq!(to_me(&bob, &last).send().await.status, 200);
    seen.push(tag(&bob).await);
    let different: std::collections::BTreeSet<_> = seen.iter().collect();
    assert_eq!(different.len(), seen.len(), "{seen:?}");
    // Each page has one, also where no filter matches, and it stays while nothing changes.
    let mut pages = vec![last];
    for page in ["?limit=1", "?is_completed=true", "?q=nothing", "?sort=title", "?is_completed=false"] {
        let tag = alice.list(page).await.header("etag").to_owned();
        let again = alice.on(Method::GET, page).header("if-none-match", &tag).send().await;
        assert_eq!((again.status, again.header("etag")), (304, &*tag), "{page}");
        assert!(!pages.contains(&tag), "{page}");
        pages.push(tag);
    }
    bob.create("another's").await;
    assert_eq!(alice.on(Method::GET, "?limit=1").header("if-none-match", &pages[1]).send().await.status, 304);
    alice.create("x").await;
    assert_eq!(alice.on(Method::GET, "?limit=1").header("if-none-match", &pages[1]).send().await.status, 200);
}

/// A copy of the tables, and the tables as they were then.
const BACK_UP: &str = "CREATE TABLE old_users AS SELECT * FROM users; CREATE TABLE old_tasks AS SELECT * FROM tasks; \
    CREATE TABLE old_deletions AS SELECT * FROM deletions";
const RESTORE: &str = "DELETE FROM tasks; DELETE FROM users; DELETE FROM deletions; INSERT INTO users SELECT * FROM old_users; \
    UPDATE users SET incarnation = (SELECT incarnation FROM old_users WHERE old_users.id = users.id); \
    INSERT INTO tasks SELECT * FROM old_tasks; INSERT INTO deletions SELECT * FROM old_deletions";

async fn a_restored_database_is_told_from_its_past(server: Server) {
    let alice = server.user("alice");
    let task = alice.create("x").await;
    let path = format!("/{}", id(&task));
    let mut copy = Copy::default();
    copy.catch_up(&alice, 100).await;
    run(&server, BACK_UP).await;
    // A life that the restore takes back, and another one in its place that counts the same.
    alice.patch(id(&task), json!({ "title": "lost" })).await.data(200);
    alice.create("lost").await;
    let (tag, page) =
        (alice.get(id(&task)).await.header("etag").to_owned(), alice.list("").await.header("etag").to_owned());
    let held = waiting(&alice, &copy, 10);
    let mut lost = Copy { since: copy.since.clone(), ..Copy::default() };
    lost.fold(&held.await.unwrap().0.json());
    let held = waiting(&alice, &lost, 10);
    sleep(Duration::from_millis(200)).await;
    run(&server, RESTORE).await;
    assert_eq!(alice.get(id(&task)).await.data(200), task, "the restore is one");
    assert_eq!(Repository::new(server.database()).renew().await.unwrap(), 1);
    held.await.unwrap().0.problem(410, "changes-expired");
    alice.patch(id(&task), json!({ "title": "other" })).await.data(200);
    alice.create("other").await;
    for since in [&copy.since, &lost.since] {
        let since = since.as_ref().unwrap();
        alice.list(&format!("/changes?since={since}")).await.problem(410, "changes-expired");
    }
    assert_eq!(alice.on(Method::GET, "").header("if-none-match", &page).send().await.status, 200);
    assert_eq!(alice.on(Method::GET, &path).header("if-none-match", &tag).send().await.data(200)["title"], "other");
    let write = alice.on(Method::PATCH, &path).json(&json!({ "title": "overwritten" })).header("if-match", &tag);
    write.send().await.problem(412, "version-mismatch");
    let mut anew = Copy::default();
    anew.catch_up(&alice, 100).await;
    anew.is_right(&alice).await;
}

/// A request is answered before it would be given up.
#[tokio::test]
async fn who_waits_is_answered_before_the_time_for_a_request_is_over() {
    let server = Server::given(&[("REQUEST_TIMEOUT_SECONDS", "4")]).await;
    let (answer, took) = waiting(&server.user("alice"), &Copy::default(), 30).await.unwrap();
    assert!(answer.data(200).as_array().unwrap().is_empty() && took < Duration::from_secs(20), "{took:?}");
}

/// Another client of the user's may have read on meanwhile, by the same server.
#[tokio::test]
async fn who_waits_is_woken_whoever_else_has_read_it() {
    let Some(server) = Server::on_postgres().await else { return };
    let beside = server.beside(Clock::system()).await;
    let alice = server.user("alice");
    let (mut one, mut two) = (Copy::default(), Copy::default());
    one.catch_up(&alice, 100).await;
    let first = waiting(&alice, &one, 10);
    sleep(Duration::from_millis(100)).await;
    let task = beside.user("alice").create("news").await;
    two.catch_up(&alice, 100).await;
    let second = waiting(&alice, &two, 10);
    let (answer, took) = first.await.unwrap();
    assert_eq!(answer.data(200), json!([task]));
    assert!(took < Duration::from_secs(8), "{took:?}");
    second.abort();
}

/// Where no other server is looked for, those of this one are heard all the same.
#[tokio::test]
async fn where_nobody_looks_for_other_servers_only_this_one_wakes() {
    let server = Server::given(&[("CHANGES_POLL_SECONDS", "0")]).await;
    let beside = server.beside(Clock::system()).await;
    let alice = server.user("alice");
    let mut copy = Copy::default();
    let held = waiting(&alice, &copy, 2);
    sleep(Duration::from_millis(200)).await;
    beside.user("alice").create("unheard").await;
    let (answer, took) = held.await.unwrap();
    assert!(took > Duration::from_millis(1_800), "{took:?}");
    assert!(answer.json()["data"].as_array().unwrap().is_empty());
    assert_eq!(copy.catch_up(&alice, 100).await, [1]);
    let held = waiting(&alice, &copy, 10);
    sleep(Duration::from_millis(200)).await;
    assert!(!held.is_finished());
    let task = alice.create("heard").await;
    let (answer, took) = held.await.unwrap();
    assert_eq!(answer.data(200), json!([task]));
    assert!(took < Duration::from_secs(8), "{took:?}");
}
