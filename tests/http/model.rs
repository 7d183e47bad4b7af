//! Random sequences of operations, each answer held against a model that knows nothing of HTTP or SQL.

use std::collections::{BTreeMap, HashMap};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use reqwest::Method;
use serde_json::{Map, Value, json};
use tasks_server::tasks::fold::fold;
use uuid::Uuid;

use crate::changes::Copy;
use crate::client::{Answer, Client, id};
use crate::server::Server;

on_each_engine!(the_server_does_what_the_model_does);

/// How many sequences are tried where `PROPTEST_CASES` says nothing.
const CASES: u32 = 500;

/// One request.
#[derive(Debug, Clone)]
enum Step {
    /// A draft and, perhaps, one of a few idempotency keys.
    Create(Draft, Option<u8>),
    Get(Which),
    Put(Which, Value, Condition),
    Patch(Which, Value, Condition),
    Complete(Which, Option<bool>, Condition),
    Delete(Which, Condition),
    Bulk(Bulk),
    List(u8, Listing),
    /// One answer of the feed, of so many at most.
    Changes(u8),
}

/// A draft, and perhaps one of a few ids of the client's own.
type Draft = (Value, Option<usize>);

/// What is asked of a list.
#[derive(Debug, Clone)]
struct Listing {
    is_completed: Option<bool>,
    priorities: Vec<&'static str>,
    tags: Vec<&'static str>,
    due_from: Option<&'static str>,
    due_to: Option<&'static str>,
    text: Option<&'static str>,
    sort: &'static str,
}

/// One request about many tasks.
#[derive(Debug, Clone)]
enum Bulk {
    /// The last one that was done under a key.
    Again,
    Create(Vec<Draft>, Option<u8>),
    Patch(Vec<(Selected, Value)>, Option<u8>),
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
    /// The tag that the task has.
    Tag,
    /// The right version with the mark of another task.
    OtherMark,
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
fn draft() -> impl Strategy<Value = Draft> {
    let own = prop_oneof![2 => Just(None), 1 => (0..OWN.len()).prop_map(Some)];
    (title(), details(), prop_oneof![2 => Just(0), 1 => any::<u8>()], own).prop_map(|(title, details, keep, own)| {
        let mut draft = some_of(details, keep);
        if draft.get("due_date").is_none_or(Value::is_null) {
            draft.remove("due_time");
        }
        draft.insert("title".to_owned(), json!(title));
        (Value::Object(draft), own)
    })
}

/// How long ago, in seconds, the ids that a client makes say that they were made: one long ago, two of now, and one by a clock that is
/// wrong.
const OWN: [i64; 4] = [40_000_000, 0, 0, -3_600];

fn listing() -> impl Strategy<Value = Listing> {
    let rarely = |values: Vec<&'static str>, most| prop_oneof![2 => Just(vec![]), 1 => proptest::sample::subsequence(values, 1..=most).prop_shuffle()];
    let date = || proptest::option::weighted(0.2, prop::sample::select(vec!["0001-01-01", "2028-02-29", "2100-01-01"]));
    (
        any::<Option<bool>>(),
        rarely(vec!["high", "medium", "low"], 3),
        rarely(vec!["x", "Y", "é y"], 2),
        date(),
        date(),
        proptest::option::weighted(0.3, prop::sample::select(vec!["A", "b", " ", "\t", "%", "é", "ab"])),
        prop::sample::select(vec!["", "-created_at", "created_at", "due_date", "priority", "title", "-updated_at"]),
    )
        .prop_map(|(is_completed, priorities, tags, due_from, due_to, text, sort)| Listing {
            is_completed,
            priorities,
            tags,
            due_from: due_from.filter(|from| due_to.is_none_or(|to| *from <= to)),
            due_to,
            text,
            sort,
        })
}

impl Listing {
    fn query(&self) -> String {
        let mut query = Vec::new();
        let mut add = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                let value = utf8_percent_encode(&value, NON_ALPHANUMERIC);
                query.push(format!("{name}={value}"));
            }
        };
        add("is_completed", self.is_completed.map(|done| done.to_string()));
        self.priorities.iter().for_each(|priority| add("priority", Some((*priority).to_owned())));
        self.tags.iter().for_each(|tag| add("tag", Some((*tag).to_owned())));
        add("due_from", self.due_from.map(str::to_owned));
        add("due_to", self.due_to.map(str::to_owned));
        add("q", self.text.map(str::to_owned));
        add("sort", Some(self.sort.to_owned()).filter(|sort| !sort.is_empty()));
        query.join("&")
    }

    fn takes(&self, task: &Value) -> bool {
        let has = |member: &str, text: &str| task[member].as_str().is_some_and(|of| fold(of).contains(&fold(text)));
        let due = task["due_date"].as_str();
        self.is_completed.is_none_or(|done| task["is_completed"] == done)
            && (self.priorities.is_empty() || self.priorities.iter().any(|priority| task["priority"] == *priority))
            && self.tags.iter().all(|tag| task["tags"].as_array().unwrap().contains(&json!(tag)))
            && self.due_from.is_none_or(|from| due.is_some_and(|due| from <= due))
            && self.due_to.is_none_or(|to| due.is_some_and(|due| due <= to))
            && self.text.is_none_or(|text| has("title", text) || has("description", text))
    }

    fn sorted(&self, mut tasks: Vec<Value>) -> Vec<Value> {
        let text = |task: &Value, member: &str| task[member].as_str().unwrap_or_default().to_owned();
        tasks.sort_by_key(|task| text(task, "id"));
        match self.sort {
            "" | "-created_at" => tasks.reverse(),
            "created_at" => {}
            "due_date" => {
                tasks.sort_by_key(|task| (task["due_date"].is_null(), text(task, "due_date"), text(task, "due_time")));
            }
            "priority" => {
                let rank = |task: &Value| ["high", "medium", "low"].iter().position(|word| task["priority"] == *word);
                tasks.sort_by_key(|task| rank(task).unwrap_or(3));
            }
            "title" => tasks.sort_by_key(|task| fold(task["title"].as_str().unwrap()).into_bytes()),
            _ => {
                tasks.sort_by_key(|task| text(task, "updated_at"));
                tasks.reverse();
            }
        }
        tasks
    }
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
        2 => Just(Condition::Tag),
        1 => Just(Condition::OtherMark),
    ]
}

fn selected() -> impl Strategy<Value = Selected> {
    // Mostly tasks that were created, in their own versions: else hardly a request would be taken.
    let created =
        prop_oneof![19 => any::<Index>().prop_map(Which::Created), 1 => any::<u128>().prop_map(Which::Unknown)];
    let behind = prop_oneof![4 => Just(None), 4 => Just(Some(0)), 1 => Just(Some(1)), 1 => Just(Some(-1))];
    (created, behind)
}

fn selection() -> impl Strategy<Value = Vec<Selected>> {
    prop::collection::vec(selected(), 1..5)
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
        2 => (selection(), key()).prop_map(|(s, k)| Step::Bulk(Bulk::Complete(s, k))),
        3 => (prop::collection::vec((selected(), patch()), 1..5), key()).prop_map(|(p, k)| Step::Bulk(Bulk::Patch(p, k))),
        1 => (selection(), key()).prop_map(|(s, k)| Step::Bulk(Bulk::Delete(s, k))),
        1 => Just(Step::Bulk(Bulk::Again)),
        3 => (1..5_u8, listing()).prop_map(|(limit, listing)| Step::List(limit, listing)),
        2 => (1..5_u8).prop_map(Step::Changes),
    ]
}

/// The tasks as the server last showed them, in the order of their creation; `None` once deleted.
struct Model {
    /// The client's own ids, and for those that were used by which draft, and what was created.
    own: [String; OWN.len()],
    drafts: HashMap<String, (Value, Value)>,
    ids: Vec<String>,
    tasks: Vec<Option<Value>>,
    /// The drafts under each key and what was created of them, by one request for a task and by one in bulk.
    keys: HashMap<(bool, u8), (Vec<Value>, Vec<Value>)>,
    /// The tasks that were completed or deleted (by verb) in bulk under each key, as the requests named them.
    selections: HashMap<(&'static str, u8), Vec<Value>>,
    last: Option<(&'static str, u8)>,
    /// What somebody knows who reads the feed on the way, and the tag of the list by which they tell that nothing has changed.
    copy: Copy,
    tag: (String, Held),
}

/// What is held of a user: whether anything is, and the tasks.
type Held = (bool, Vec<Option<Value>>);

impl Model {
    fn new() -> Self {
        let id = |ago: i64| {
            let seconds = u64::try_from(chrono::Utc::now().timestamp() - ago).unwrap();
            Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, 0)).to_string()
        };
        Self {
            own: OWN.map(id),
            drafts: HashMap::new(),
            ids: vec![],
            tasks: vec![],
            keys: HashMap::new(),
            selections: HashMap::new(),
            last: None,
            copy: Copy::default(),
            tag: (String::new(), (false, vec![])),
        }
    }

    /// The body of a draft.
    fn body(&self, (draft, own): &Draft) -> Value {
        let mut draft = draft.clone();
        if let Some(own) = own {
            draft["id"] = json!(self.own[*own]);
        }
        draft
    }

    /// The draft by which the id of this one was taken, and what was created.
    fn known(&self, draft: &Value) -> Option<&(Value, Value)> {
        self.drafts.get(draft["id"].as_str()?)
    }

    /// What is held of the user. Keys are, too: with the first of them the user is one who is known.
    fn held(&self) -> Held {
        (!(self.tasks.is_empty() && self.keys.is_empty() && self.selections.is_empty()), self.tasks.clone())
    }

    /// The tasks that there are, by their ids.
    fn all(&self) -> BTreeMap<String, Value> {
        self.tasks.iter().flatten().map(|task| (id(task).to_owned(), task.clone())).collect()
    }

    /// The task of this id as it is now; null when it is gone.
    fn now(&self, id: &str) -> Value {
        self.tasks.iter().flatten().find(|task| task["id"] == id).cloned().unwrap_or_default()
    }
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
    fn check_creation(&mut self, drafts: &[Value], key: Option<(bool, u8)>, is_bulk: bool, answer: &Answer) {
        let ids: Vec<_> = drafts.iter().map(|draft| draft["id"].as_str()).collect();
        let is_repeated = |place: &usize| ids[*place].is_some() && ids[..*place].contains(&ids[*place]);
        let repeated: Vec<_> = (0..ids.len()).filter(is_repeated).map(|place| format!("/tasks/{place}/id")).collect();
        if !repeated.is_empty() {
            assert_eq!(answer.pointers(), repeated);
            return;
        }
        // What says nothing is as good as nothing.
        let drafts: Vec<_> = drafts.iter().map(without_nothing).collect();
        let created = if is_bulk {
            answer.json()["data"].as_array().cloned().unwrap_or_default()
        } else {
            vec![answer.json()["data"].clone()]
        };
        if let Some((first, tasks)) = key.and_then(|key| self.keys.get(&key)) {
            if *first == drafts {
                assert_eq!(answer.status, 201);
                for (again, task) in created.iter().zip(tasks) {
                    assert_eq!(again, task, "as the first time, whatever happened since");
                }
                assert_eq!(answer.header("idempotency-replayed"), "true");
            } else {
                answer.problem(422, "idempotency-key-reused");
            }
            return;
        }
        let is_taken =
            |draft: &&Value| self.known(draft).is_some_and(|(by, _)| by != *draft || self.now(id(draft)).is_null());
        let taken: Vec<_> = drafts.iter().filter(is_taken).map(|draft| self.now(id(draft))).collect();
        if !taken.is_empty() {
            let problem = answer.problem(409, "task-id-taken");
            let current: Vec<_> = match problem["errors"].as_array() {
                Some(errors) => errors.iter().map(|error| error["current"].clone()).collect(),
                None => vec![problem["current"].clone()],
            };
            assert_eq!(current, taken);
            return;
        }
        assert_eq!((answer.status, created.len()), (201, drafts.len()));
        let is_replay = drafts.iter().all(|draft| self.known(draft).is_some());
        assert_eq!(answer.headers.contains_key("idempotency-replayed"), is_replay);
        for (task, draft) in created.iter().zip(&drafts) {
            if let Some((_, first)) = self.known(draft) {
                assert_eq!(task, first);
                continue;
            }
            self.check_new(task, draft);
        }
        if let Some(key) = key {
            self.keys.insert(key, (drafts, created));
        }
    }

    fn check_new(&mut self, task: &Value, draft: &Value) {
        let mut expected = json!({
            "description": null, "due_date": null, "due_time": null, "priority": null, "tags": [], "is_completed": false,
            "version": 1, "completed_at": null,
        });
        merge(&mut expected, draft);
        for member in ["id", "user_id", "created_at", "updated_at", "etag"] {
            if draft.get(member).is_none() {
                expected[member] = task[member].clone();
            }
        }
        if expected["is_completed"] == true {
            expected["completed_at"] = task["created_at"].clone();
        }
        assert_eq!(*task, expected);
        assert_eq!(task["created_at"], task["updated_at"]);
        let id = id(task).to_owned();
        if draft.get("id").is_some() {
            self.drafts.insert(id.clone(), (draft.clone(), task.clone()));
        } else {
            let last = self.ids.iter().rev().find(|id| !self.own.contains(*id));
            assert!(last.is_none_or(|last| *last < id), "ids are in the order of creation");
        }
        self.ids.push(id);
        self.tasks.push(Some(task.clone()));
    }

    /// The places of the tasks that a request in bulk names, the request, and how it must be refused, if it must be: with
    /// which status and code, and where.
    fn select(&self, selection: &[(Selected, Value)], may_be_absent: bool) -> Selection {
        let mut selected = Selection::default();
        let (mut seen, mut wrong, mut repeated) = (HashMap::new(), vec![], vec![]);
        let (mut missing, mut without_day, mut stale) = (vec![], vec![], vec![]);
        for (n, ((which, behind), patch)) in selection.iter().enumerate() {
            let (place, id) = self.find(which);
            let version = behind.map(|behind| (self.version(place) - behind).max(1));
            let task = place.and_then(|place| self.tasks[place].as_ref());
            if *seen.entry(id.clone()).or_insert(n) != n {
                repeated.push(format!("/tasks/{n}/id"));
            }
            if patch.get("due_date").is_some_and(Value::is_null) && patch["due_time"].is_string() {
                wrong.push(format!("/tasks/{n}/due_time"));
            }
            match task.map(|task| (task, changed(task, patch))) {
                None if may_be_absent => {}
                None => missing.push(format!("/tasks/{n}/id")),
                Some((_, None)) => without_day.push(format!("/tasks/{n}/due_time")),
                // A deletion changes no member, and is never done already.
                Some((task, after))
                    if version.is_some_and(|version| task["version"] != version)
                        && (may_be_absent || after.as_ref() != Some(task)) =>
                {
                    stale.push(format!("/tasks/{n}/version"));
                }
                Some(_) => {}
            }
            selected.places.extend(place.filter(|_| task.is_some()));
            let mut entry = json!({ "id": id });
            if let Some(version) = version {
                entry["version"] = json!(version);
            }
            merge(&mut entry, patch);
            selected.tasks.push(entry);
        }
        wrong.append(&mut repeated);
        let refusals = [
            (400, "invalid-request", wrong),
            (404, "task-not-found", missing),
            (400, "invalid-request", without_day),
            (412, "version-mismatch", stale),
        ];
        selected.is_malformed = !refusals[0].2.is_empty();
        selected.refusal = refusals.into_iter().find(|(_, _, pointers)| !pointers.is_empty());
        selected
    }

    /// Whether the key of a request in bulk was used before, and what is answered then: nothing is written again.
    fn is_replay(&self, verb: &'static str, selected: &Selection, key: Option<u8>, answer: &Answer) -> bool {
        if selected.is_malformed {
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
            let problem = answer.problem(412, "version-mismatch");
            assert_eq!((&problem["current_version"], &problem["current"]), (&json!(version), &before));
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
        assert_ne!(expected["etag"], after["etag"]);
        expected["etag"] = after["etag"].clone();
        assert_eq!(*after, expected);
        assert_eq!(after["completed_at"].is_string(), after["is_completed"].as_bool().unwrap());
        assert!(after["updated_at"].as_str() >= before["updated_at"].as_str(), "time does not step back");
        self.tasks[place] = Some(after.clone());
    }
}

fn without_nothing(draft: &Value) -> Value {
    let members = draft.as_object().unwrap().iter();
    let members = members.filter(|(_, value)| !value.is_null() && **value != json!([]) && **value != json!(false));
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
    /// Whether it is refused without a look at the tasks.
    is_malformed: bool,
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

/// The header for a condition on a task, and the versions that it allows.
fn if_match(condition: Condition, model: &Model, place: Option<usize>) -> (Option<String>, Option<Vec<i64>>) {
    let version = model.version(place);
    let tag = place.and_then(|place| model.tasks[place].as_ref()?["etag"].as_str().map(str::to_owned));
    let tag = tag.unwrap_or_else(|| "\"1-0123456789abcdef\"".to_owned());
    match condition {
        Condition::Tag => (Some(tag), Some(vec![version])),
        Condition::OtherMark => {
            let digit = if tag.ends_with("0\"") { "1\"" } else { "0\"" };
            (Some(format!("{}{digit}", &tag[..tag.len() - 2])), Some(vec![]))
        }
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
            let draft = model.body(draft);
            let mut call = client.on(Method::POST, "").json(&draft);
            if let Some(key) = key {
                call = call.header("idempotency-key", &format!("key-{key}"));
            }
            let answer = call.send().await;
            model.check_creation(&[draft], key.map(|key| (false, key)), false, &answer);
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
        Step::Changes(limit) => {
            let (more, _) = model.copy.read(client, &format!("limit={limit}")).await;
            if !more {
                assert_eq!(model.copy.tasks, model.all());
            }
            // The list has the tag of before exactly while nothing has changed.
            let call = client.on(Method::GET, "?limit=1").header("if-none-match", &format!("\"x\"{}", model.tag.0));
            let answer = call.send().await;
            let is_same = !model.tag.0.is_empty() && model.tag.1 == model.held();
            assert_eq!(answer.status == 304, is_same);
            model.tag = (format!(", {}", answer.header("etag")), model.held());
        }
        Step::Put(which, members, condition) | Step::Patch(which, members, condition) => {
            let (place, id) = model.find(which);
            let (header, allowed) = if_match(*condition, model, place);
            let method = if matches!(step, Step::Put(..)) { Method::PUT } else { Method::PATCH };
            let answer = send(method, format!("/{id}"), Some(members.clone()), header).await;
            model.check_write(place, members, allowed.as_deref(), &answer);
        }
        Step::Complete(which, done, condition) => {
            let (place, id) = model.find(which);
            let (header, allowed) = if_match(*condition, model, place);
            let body = done.map(|done| json!({ "is_completed": done }));
            let answer = send(Method::PATCH, format!("/{id}/complete"), body, header).await;
            let members = json!({ "is_completed": done.unwrap_or(true) });
            model.check_write(place, &members, allowed.as_deref(), &answer);
        }
        Step::Delete(which, condition) => {
            let (place, id) = model.find(which);
            let version = model.version(place);
            let (header, allowed) = if_match(*condition, model, place);
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
        Step::List(limit, listing) => {
            let expected = model.tasks.iter().flatten().filter(|task| listing.takes(task)).cloned().collect();
            let expected = listing.sorted(expected);
            let (mut listed, mut cursor) = (Vec::new(), String::new());
            loop {
                let query = format!("?limit={limit}&include_total=true&{}{cursor}", listing.query());
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

/// A change of several tasks, each by its patch.
async fn change(
    client: &Client,
    model: &mut Model,
    verb: &'static str,
    selected: &Selection,
    entries: &[(Selected, Value)],
    key: Option<u8>,
) {
    let answer = select(client, verb, &selected.tasks, key).await;
    if !model.is_replay(verb, selected, key, &answer) && !selected.is_refused(&answer) {
        model.remember(verb, selected, key);
        let changed = answer.data(200);
        assert_eq!(changed.as_array().unwrap().len(), selected.places.len());
        for ((place, after), (_, patch)) in selected.places.iter().zip(changed.as_array().unwrap()).zip(entries) {
            model.check_change(*place, patch, after);
        }
    }
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
            let drafts: Vec<_> = drafts.iter().map(|draft| model.body(draft)).collect();
            let mut call = client.on(Method::POST, "/bulk-create").json(&json!({ "tasks": drafts }));
            if let Some(key) = key {
                call = call.header("idempotency-key", &format!("key-{key}"));
            }
            let answer = call.send().await;
            model.check_creation(&drafts, key.map(|key| (true, key)), true, &answer);
        }
        Bulk::Complete(selection, key) => {
            let done = json!({ "is_completed": true });
            let entries: Vec<_> = selection.iter().map(|selected| (selected.clone(), done.clone())).collect();
            let mut selected = model.select(&entries, false);
            for entry in &mut selected.tasks {
                entry.as_object_mut().unwrap().remove("is_completed");
            }
            change(client, model, "complete", &selected, &entries, *key).await;
        }
        Bulk::Patch(entries, key) => {
            let selected = model.select(entries, false);
            change(client, model, "patch", &selected, entries, *key).await;
        }
        Bulk::Delete(selection, key) => {
            let entries: Vec<_> = selection.iter().map(|selected| (selected.clone(), json!({}))).collect();
            let selected = model.select(&entries, true);
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
            let mut model = Model::new();
            runtime.block_on(async {
                for step in &steps {
                    take(&client, &mut model, step).await;
                }
                model.copy.catch_up(&client, 3).await;
                assert_eq!(model.copy.tasks, model.all());
            });
            Ok(())
        })
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}
