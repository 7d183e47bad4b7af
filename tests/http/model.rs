//! Random sequences of operations, each answer held against a model that knows nothing of HTTP or SQL.

use std::collections::HashMap;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use reqwest::Method;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::client::{Answer, Client};
use crate::server::Server;

on_each_engine!(the_server_does_what_the_model_does);

/// How many sequences are tried where `PROPTEST_CASES` says nothing.
const CASES: u32 = 500;

/// One request.
#[derive(Debug, Clone)]
enum Step {
    /// A draft and, perhaps, one of a few idempotency keys.
    Create(Value, Option<u8>),
    Get(Which),
    Put(Which, Value, Condition),
    Patch(Which, Value, Condition),
    Complete(Which, Option<bool>, Condition),
    Delete(Which, Condition),
    Bulk(Bulk),
    List(u8, Option<bool>),
}

/// One request about many tasks.
#[derive(Debug, Clone)]
enum Bulk {
    /// The last one that was done under a key.
    Again,
    Create(Vec<Value>, Option<u8>),
    Complete(Vec<Selected>, Option<u8>),
    Delete(Vec<Selected>, Option<u8>),
}

/// A task that was created at some time, or one that never was.
#[derive(Debug, Clone)]
enum Which {
    Created(Index),
    Unknown(u128),
}

/// A task that a request in bulk names, perhaps with the version that it has, or so many below it.
type Selected = (Which, Option<i64>);

/// What `If-Match` says.
#[derive(Debug, Clone, Copy)]
enum Condition {
    None,
    Any,
    /// The version that the task has, and so many below it.
    Behind(i64),
    /// Versions that it never had, and the one that it has.
    Listed,
    /// The right version, but weak.
    Weak,
}

/// Titles repeat, so that writes often change nothing.
fn title() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[ab]", 1 => "[\\PC--[\u{2028}\u{2029}\u{FEFF}]]{1,20}[a-z]"]
}

/// Members beside the title, which repeat likewise; null where there is none.
fn details() -> impl Strategy<Value = Map<String, Value>> {
    let tags = proptest::sample::subsequence(vec!["x", "Y", "é y"], 0..=3).prop_shuffle();
    let description =
        prop_oneof![3 => Just(json!(null)), 2 => "[ab]".prop_map(|text| json!(text)), 1 => Just(json!(" a\n\tb"))];
    let due_date = prop_oneof![Just(json!(null)), Just(json!("2028-02-29")), Just(json!("0001-01-01"))];
    let due_time = prop_oneof![2 => Just(json!(null)), 1 => Just(json!("00:00")), 1 => Just(json!("23:59"))];
    let priority = prop_oneof![Just(json!(null)), Just(json!("high")), Just(json!("medium")), Just(json!("low"))];
    (description, due_date, due_time, priority, tags, any::<bool>()).prop_map(
        |(description, date, time, priority, tags, done)| {
            let time = if date.is_null() { json!(null) } else { time };
            let members = json!({
                "description": description, "due_date": date, "due_time": time, "priority": priority, "tags": tags,
                "is_completed": done,
            });
            members.as_object().unwrap().clone()
        },
    )
}

/// Some of the members of a task; nearly always few.
fn some_of(members: Map<String, Value>, keep: u8) -> Map<String, Value> {
    members.into_iter().enumerate().filter(|(n, _)| keep >> n & 1 == 1).map(|(_, member)| member).collect()
}

/// A draft: mostly a title alone. A null is as good as nothing, but for the flag and the tags.
fn draft() -> impl Strategy<Value = Value> {
    (title(), details(), prop_oneof![2 => Just(0), 1 => any::<u8>()]).prop_map(|(title, details, keep)| {
        let mut draft = some_of(details, keep);
        if draft.get("due_date").is_none_or(Value::is_null) {
            draft.remove("due_time");
        }
        draft.insert("title".to_owned(), json!(title));
        Value::Object(draft)
    })
}

fn replacement() -> impl Strategy<Value = Value> {
    (title(), details()).prop_map(|(title, mut details)| {
        details.insert("title".to_owned(), json!(title));
        Value::Object(details)
    })
}

fn patch() -> impl Strategy<Value = Value> {
    (proptest::option::of(title()), details(), any::<u8>(), any::<u8>()).prop_map(|(title, details, keep, rarely)| {
        let mut patch = some_of(details, keep & rarely);
        patch.extend(title.map(|title| ("title".to_owned(), json!(title))));
        Value::Object(patch)
    })
}

fn which() -> impl Strategy<Value = Which> {
    prop_oneof![9 => any::<Index>().prop_map(Which::Created), 1 => any::<u128>().prop_map(Which::Unknown)]
}

fn condition() -> impl Strategy<Value = Condition> {
    prop_oneof![
        3 => Just(Condition::None),
        1 => Just(Condition::Any),
        4 => (0..3_i64).prop_map(Condition::Behind),
        1 => Just(Condition::Listed),
        1 => Just(Condition::Weak),
    ]
}

fn selection() -> impl Strategy<Value = Vec<Selected>> {
    // Mostly tasks that were created, in their own versions: else hardly a request would be taken.
    let created =
        prop_oneof![19 => any::<Index>().prop_map(Which::Created), 1 => any::<u128>().prop_map(Which::Unknown)];
    let behind = prop_oneof![4 => Just(None), 4 => Just(Some(0)), 1 => Just(Some(1)), 1 => Just(Some(-1))];
    prop::collection::vec((created, behind), 1..5)
}

fn key() -> impl Strategy<Value = Option<u8>> {
    proptest::option::of(0..3_u8)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (draft(), key()).prop_map(|(d, k)| Step::Create(d, k)),
        1 => which().prop_map(Step::Get),
        2 => (which(), replacement(), condition()).prop_map(|(w, m, i)| Step::Put(w, m, i)),
        3 => (which(), patch(), condition()).prop_map(|(w, m, i)| Step::Patch(w, m, i)),
        3 => (which(), any::<Option<bool>>(), condition()).prop_map(|(w, c, i)| Step::Complete(w, c, i)),
        1 => (which(), condition()).prop_map(|(w, i)| Step::Delete(w, i)),
        2 => (prop::collection::vec(draft(), 1..5), key()).prop_map(|(d, k)| Step::Bulk(Bulk::Create(d, k))),
        3 => (selection(), key()).prop_map(|(s, k)| Step::Bulk(Bulk::Complete(s, k))),
        1 => (selection(), key()).prop_map(|(s, k)| Step::Bulk(Bulk::Delete(s, k))),
        1 => Just(Step::Bulk(Bulk::Again)),
        2 => (1..5_u8, any::<Option<bool>>()).prop_map(|(limit, filter)| Step::List(limit, filter)),
    ]
}

/// The tasks as the server last showed them, in the order of their creation; `None` once deleted.
#[derive(Default)]
struct Model {
    ids: Vec<String>,
    tasks: Vec<Option<Value>>,
    /// The drafts under each key and what was created of them, by one request for a task and by one in bulk.
    keys: HashMap<(bool, u8), (Vec<Value>, Vec<Value>)>,
    /// The tasks that were completed or deleted (by verb) in bulk under each key, as the requests named them.
    selections: HashMap<(&'static str, u8), Vec<Value>>,
    last: Option<(&'static str, u8)>,
}

impl Model {
    /// The place of a task, and its id; the place is `None` when it never was.
    fn find(&self, which: &Which) -> (Option<usize>, String) {
        match which {
            Which::Created(index) if !self.ids.is_empty() => {
                let place = index.index(self.ids.len());
                (Some(place), self.ids[place].clone())
            }
            Which::Created(_) => (None, Uuid::nil().to_string()),
            Which::Unknown(bits) => (None, Uuid::from_u128(*bits).to_string()),
        }
    }

    fn version(&self, place: Option<usize>) -> i64 {
        place.and_then(|place| self.tasks[place].as_ref()?["version"].as_i64()).unwrap_or(1)
    }

    /// What a creation of these answers, under this key or none: one task, or several in bulk.
    fn check_creation(&mut self, drafts: &[Value], key: Option<(bool, u8)>, answer: &Answer, created: &[Value]) {
        // A null is as good as nothing.
        let drafts: Vec<_> = drafts.iter().map(without_nulls).collect();
        if let Some((first, tasks)) = key.and_then(|key| self.keys.get(&key)) {
            if *first == drafts {
                assert_eq!((answer.status, created), (201, &tasks[..]), "as the first time, whatever happened since");
                assert_eq!(answer.header("idempotency-replayed"), "true");
            } else {
                answer.problem(422, "idempotency-key-reused");
            }
            return;
        }
        assert_eq!((answer.status, created.len()), (201, drafts.len()));
        assert!(!answer.headers.contains_key("idempotency-replayed"));
        for (task, draft) in created.iter().zip(&drafts) {
            let mut expected = json!({
                "description": null, "due_date": null, "due_time": null, "priority": null, "tags": [], "is_completed": false,
                "version": 1, "completed_at": null,
            });
            merge(&mut expected, draft);
            for member in ["id", "user_id", "created_at", "updated_at"] {
                expected[member] = task[member].clone();
            }
            if expected["is_completed"] == true {
                expected["completed_at"] = task["created_at"].clone();
            }
            assert_eq!(*task, expected);
            assert_eq!(task["created_at"], task["updated_at"]);
            let id = task["id"].as_str().unwrap().to_owned();
            assert!(self.ids.last().is_none_or(|last| *last < id), "ids are in the order of creation");
            self.ids.push(id);
            self.tasks.push(Some(task.clone()));
        }
        if let Some(key) = key {
            self.keys.insert(key, (drafts, created.to_vec()));
        }
    }

    /// The places of the tasks that a request in bulk names, the request, and how it must be refused, if it must be: with
    /// which status and code, and where.
    fn select(&self, selection: &[Selected], may_be_done: bool) -> Selection {
        let mut selected = Selection::default();
        let (mut seen, mut repeated, mut missing, mut stale) = (HashMap::new(), vec![], vec![], vec![]);
        for (n, (which, behind)) in selection.iter().enumerate() {
            let (place, id) = self.find(which);
            let version = behind.map(|behind| (self.version(place) - behind).max(1));
            let task = place.and_then(|place| self.tasks[place].as_ref());
            if *seen.entry(id.clone()).or_insert(n) != n {
                repeated.push(format!("/tasks/{n}/id"));
            }
            match (task, version) {
                (None, _) => missing.push(format!("/tasks/{n}/id")),
                (Some(task), Some(version))
                    if task["version"] != version && !(may_be_done && task["is_completed"] == true) =>
                {
                    stale.push(format!("/tasks/{n}/version"));
                }
                _ => {}
            }
            selected.places.extend(place);
            selected.tasks.push(match version {
                Some(version) => json!({ "id": id, "version": version }),
                None => json!({ "id": id }),
            });
        }
        let refusals =
            [(400, "invalid-request", repeated), (404, "task-not-found", missing), (412, "version-mismatch", stale)];
        selected.refusal = refusals.into_iter().find(|(_, _, pointers)| !pointers.is_empty());
        selected
    }

    /// Whether the key of a request in bulk was used before, and what is answered then: nothing is written again.
    fn is_replay(&self, verb: &'static str, selected: &Selection, key: Option<u8>, answer: &Answer) -> bool {
        if let Some((400, ..)) = selected.refusal {
            return false;
        }
        let Some(first) = key.and_then(|key| self.selections.get(&(verb, key))) else {
            assert!(!answer.headers.contains_key("idempotency-replayed"));
            return false;
        };
        if *first != selected.tasks {
            answer.problem(422, "idempotency-key-reused");
            return true;
        }
        assert_eq!(answer.header("idempotency-replayed"), "true");
        let there: Vec<_> = first
            .iter()
            .filter_map(|task| self.tasks.iter().flatten().find(|known| known["id"] == task["id"]).cloned())
            .collect();
        if verb == "delete" {
            assert_eq!(answer.status, 204);
        } else {
            assert_eq!(answer.data(200), json!(there), "as they are now, without those that were deleted");
        }
        true
    }

    fn remember(&mut self, verb: &'static str, selected: &Selection, key: Option<u8>) {
        if let Some(key) = key {
            self.selections.insert((verb, key), selected.tasks.clone());
            self.last = Some((verb, key));
        }
    }

    /// What a write answers, when it sets these members and names these versions.
    fn check_write(&mut self, place: Option<usize>, members: &Value, allowed: Option<&[i64]>, answer: &Answer) {
        // What is wrong in itself is seen first.
        if members.get("due_date").is_some_and(Value::is_null) && members["due_time"].is_string() {
            assert_eq!(answer.problem(400, "invalid-request")["errors"][0]["pointer"], "/due_time");
            return;
        }
        let Some(before) = place.and_then(|place| self.tasks[place].clone()) else {
            answer.problem(404, "task-not-found");
            return;
        };
        let version = before["version"].as_i64().unwrap();
        let is_allowed = allowed.is_none_or(|allowed| allowed.contains(&version));
        let Some(expected) = changed(&before, members) else {
            assert_eq!(answer.problem(400, "invalid-request")["errors"][0]["pointer"], "/due_time");
            return;
        };
        if is_allowed || expected == before {
            self.check_change(place.unwrap(), members, &answer.data(200));
        } else {
            assert_eq!(answer.problem(412, "version-mismatch")["current_version"], version);
        }
    }

    /// What a task is after a change that sets these members.
    fn check_change(&mut self, place: usize, members: &Value, after: &Value) {
        let before = self.tasks[place].clone().unwrap();
        let mut expected = changed(&before, members).expect("a change that can be made");
        if expected == before {
            assert_eq!(*after, before, "nothing changes, not even a time");
            return;
        }
        expected["version"] = json!(before["version"].as_i64().unwrap() + 1);
        match (before["is_completed"].as_bool().unwrap(), expected["is_completed"].as_bool().unwrap()) {
            (false, true) => expected["completed_at"] = after["completed_at"].clone(),
            (true, false) => expected["completed_at"] = Value::Null,
            _ => {}
        }
        expected["updated_at"] = after["updated_at"].clone();
        assert_eq!(*after, expected);
        assert_eq!(after["completed_at"].is_string(), after["is_completed"].as_bool().unwrap());
        assert!(after["updated_at"].as_str() >= before["updated_at"].as_str(), "time does not step back");
        self.tasks[place] = Some(after.clone());
    }
}

fn without_nulls(draft: &Value) -> Value {
    let members = draft.as_object().unwrap().iter().filter(|(_, value)| !value.is_null());
    Value::Object(members.map(|(name, value)| (name.clone(), value.clone())).collect())
}

/// Sets members (RFC 7396); nothing of a task is removed, but becomes null.
fn merge(task: &mut Value, members: &Value) {
    for (name, value) in members.as_object().unwrap() {
        task[name] = value.clone();
    }
}

/// The members of a task after a change, without what the server counts; `None` where a time would stand without a day.
fn changed(before: &Value, members: &Value) -> Option<Value> {
    let mut after = before.clone();
    merge(&mut after, members);
    if after["due_date"].is_null() {
        if members["due_time"].is_string() {
            return None;
        }
        after["due_time"] = Value::Null;
    }
    Some(after)
}

/// A request in bulk, as the model sees it.
#[derive(Default)]
struct Selection {
    places: Vec<usize>,
    tasks: Vec<Value>,
    refusal: Option<(u16, &'static str, Vec<String>)>,
}

impl Selection {
    /// Whether the request was refused, as it must be.
    fn is_refused(&self, answer: &Answer) -> bool {
        let Some((status, code, pointers)) = &self.refusal else { return false };
        let problem = answer.problem(*status, code);
        let named: Vec<_> = problem["errors"].as_array().unwrap().iter().map(|e| e["pointer"].clone()).collect();
        assert_eq!(named, *pointers);
        true
    }
}

/// The header for a condition on a task of this version, and the versions that it allows.
fn if_match(condition: Condition, version: i64) -> (Option<String>, Option<Vec<i64>>) {
    match condition {
        Condition::None => (None, None),
        Condition::Any => (Some("*".to_owned()), None),
        Condition::Behind(by) => (Some(format!("\"{}\"", version - by)), Some(vec![version - by])),
        Condition::Listed => (Some(format!("\"999\", \"x\", \"{version}\"")), Some(vec![999, version])),
        Condition::Weak => (Some(format!("W/\"{version}\"")), Some(Vec::new())),
    }
}

async fn take(client: &Client, model: &mut Model, step: &Step) {
    let send = async |method: Method, below: String, body: Option<Value>, header: Option<String>| {
        let mut call = client.on(method, &below);
        if let Some(body) = &body {
            call = call.json(body);
        }
        if let Some(header) = &header {
            call = call.header("if-match", header);
        }
        call.send().await
    };
    match step {
        Step::Create(draft, key) => {
            let mut call = client.on(Method::POST, "").json(draft);
            if let Some(key) = key {
                call = call.header("idempotency-key", &format!("key-{key}"));
            }
            let answer = call.send().await;
            let created = [answer.json()["data"].clone()];
            model.check_creation(std::slice::from_ref(draft), key.map(|key| (false, key)), &answer, &created);
        }
        Step::Bulk(step) => take_bulk(client, model, step).await,
        Step::Get(which) => {
            let (place, id) = model.find(which);
            let answer = send(Method::GET, format!("/{id}"), None, None).await;
            match place.and_then(|place| model.tasks[place].as_ref()) {
                Some(task) => assert_eq!(answer.data(200), *task),
                None => drop(answer.problem(404, "task-not-found")),
            }
        }
        Step::Put(which, members, condition) | Step::Patch(which, members, condition) => {
            let (place, id) = model.find(which);
            let (header, allowed) = if_match(*condition, model.version(place));
            let method = if matches!(step, Step::Put(..)) { Method::PUT } else { Method::PATCH };
            let answer = send(method, format!("/{id}"), Some(members.clone()), header).await;
            model.check_write(place, members, allowed.as_deref(), &answer);
        }
        Step::Complete(which, done, condition) => {
            let (place, id) = model.find(which);
            let (header, allowed) = if_match(*condition, model.version(place));
            let body = done.map(|done| json!({ "is_completed": done }));
            let answer = send(Method::PATCH, format!("/{id}/complete"), body, header).await;
            let members = json!({ "is_completed": done.unwrap_or(true) });
            model.check_write(place, &members, allowed.as_deref(), &answer);
        }
        Step::Delete(which, condition) => {
            let (place, id) = model.find(which);
            let version = model.version(place);
            let (header, allowed) = if_match(*condition, version);
            let answer = send(Method::DELETE, format!("/{id}"), None, header).await;
            let Some(place) = place.filter(|place| model.tasks[*place].is_some()) else {
                answer.problem(404, "task-not-found");
                return;
            };
            if allowed.is_some_and(|allowed| !allowed.contains(&version)) {
                answer.problem(412, "version-mismatch");
            } else {
                assert_eq!(answer.status, 204);
                model.tasks[place] = None;
            }
        }
        Step::List(limit, filter) => {
            let filter_query = filter.map(|done| format!("&is_completed={done}")).unwrap_or_default();
            let fits = |task: &&Value| filter.is_none_or(|done| task["is_completed"] == done);
            let expected: Vec<_> = model.tasks.iter().flatten().filter(fits).rev().cloned().collect();
            let (mut listed, mut cursor) = (Vec::new(), String::new());
            loop {
                let query = format!("?limit={limit}&include_total=true{filter_query}{cursor}");
                let page = client.list(&query).await;
                listed.extend(page.data(200).as_array().unwrap().clone());
                let meta = page.json()["meta"].clone();
                assert_eq!(meta["total"], expected.len());
                let Some(next) = meta["next_cursor"].as_str() else { break };
                cursor = format!("&cursor={next}");
            }
            assert_eq!(listed, expected);
        }
    }
}

async fn select(client: &Client, verb: &str, tasks: &[Value], key: Option<u8>) -> Answer {
    let mut call = client.on(Method::POST, &format!("/bulk-{verb}")).json(&json!({ "tasks": tasks }));
    if let Some(key) = key {
        call = call.header("idempotency-key", &format!("key-{key}"));
    }
    call.send().await
}

async fn take_bulk(client: &Client, model: &mut Model, step: &Bulk) {
    match step {
        Bulk::Again => {
            let Some((verb, key)) = model.last else { return };
            let tasks = model.selections[&(verb, key)].clone();
            let answer = select(client, verb, &tasks, Some(key)).await;
            let selected = Selection { tasks, ..Selection::default() };
            assert!(model.is_replay(verb, &selected, Some(key), &answer));
        }
        Bulk::Create(drafts, key) => {
            let mut call = client.on(Method::POST, "/bulk-create").json(&json!({ "tasks": drafts }));
            if let Some(key) = key {
                call = call.header("idempotency-key", &format!("key-{key}"));
            }
            let answer = call.send().await;
            let created = answer.json()["data"].as_array().cloned().unwrap_or_default();
            model.check_creation(drafts, key.map(|key| (true, key)), &answer, &created);
        }
        Bulk::Complete(selection, key) => {
            let selected = model.select(selection, true);
            let answer = select(client, "complete", &selected.tasks, *key).await;
            if !model.is_replay("complete", &selected, *key, &answer) && !selected.is_refused(&answer) {
                model.remember("complete", &selected, *key);
                let completed = answer.data(200);
                assert_eq!(completed.as_array().unwrap().len(), selected.places.len());
                for (place, after) in selected.places.iter().zip(completed.as_array().unwrap()) {
                    model.check_change(*place, &json!({ "is_completed": true }), after);
                }
            }
        }
        Bulk::Delete(selection, key) => {
            let selected = model.select(selection, false);
            let answer = select(client, "delete", &selected.tasks, *key).await;
            if !model.is_replay("delete", &selected, *key, &answer) && !selected.is_refused(&answer) {
                assert_eq!(answer.status, 204);
                model.remember("delete", &selected, *key);
                for place in &selected.places {
                    model.tasks[*place] = None;
                }
            }
        }
    }
}

async fn the_server_does_what_the_model_does(server: Server) {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(CASES);
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let runtime = tokio::runtime::Handle::current();
    let outcome = tokio::task::block_in_place(|| {
        runner.run(&prop::collection::vec(step(), 1..20), |steps| {
            // Everybody is a stranger to the sequences before.
            let client = server.user(&Uuid::now_v7().to_string());
            let mut model = Model::default();
            runtime.block_on(async {
                for step in &steps {
                    take(&client, &mut model, step).await;
                }
            });
            Ok(())
        })
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}
