//! People who use every operation and remember what they were told, so that afterwards each task can be accounted for.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use uuid::Uuid;

use crate::load::{Reply, Tally, User, crowd};
use crate::look::Look;
use crate::server::Server;

/// A user, and what is known of their tasks.
pub(crate) struct Person {
    user: User,
    name: String,
    round: usize,
    /// The tasks that certainly exist, oldest first; with the title, where that is certain too.
    tasks: Vec<(String, Option<String>)>,
    /// The tasks that certainly do not exist any more.
    gone: HashSet<String>,
    /// Where the last first page ended.
    cursor: Option<String>,
}

/// Persons at work, each on one of some servers.
#[derive(Clone)]
pub(crate) struct People(Arc<Vec<tokio::sync::Mutex<Person>>>, Arc<Mutex<Vec<String>>>);

impl People {
    /// So many, by turns on these servers.
    pub(crate) fn at(servers: &[&Server], count: usize, tally: &Tally) -> Self {
        let people = servers.iter().cycle().take(count).enumerate().map(|(n, server)| {
            let name = format!("person-{n}");
            let user = server.user(&name, tally);
            tokio::sync::Mutex::new(Person {
                user,
                name,
                round: n,
                tasks: Vec::new(),
                gone: HashSet::new(),
                cursor: None,
            })
        });
        Self(Arc::new(people.collect()), Arc::default())
    }

    /// All do one thing after another for so long.
    pub(crate) async fn work(&self, time: Duration) {
        let people = self.clone();
        crowd(self.0.len(), time, move |n| {
            let people = people.clone();
            async move {
                let wrong = people.0[n].lock().await.act().await;
                people.1.lock().unwrap().extend(wrong);
            }
        })
        .await;
    }

    /// Nothing that was acknowledged is lost or undone, nothing is there twice, and no answer was about another task.
    pub(crate) async fn assert_truth(&self, look: &Look) {
        let wrong = self.1.lock().unwrap().clone();
        assert!(wrong.is_empty(), "{} wrong answers, the first: {}", wrong.len(), wrong[0]);
        let stored = look.tasks().await;
        let mut acknowledged = 0;
        for person in self.0.iter() {
            let person = person.lock().await;
            acknowledged += person.tasks.len();
            for (id, title) in &person.tasks {
                let found = stored.get(id).unwrap_or_else(|| panic!("lost: {id} {title:?} of {}", person.name));
                assert!(title.as_ref().is_none_or(|title| title == found), "{id} is {found}, not {title:?}");
            }
            let undead = person.gone.iter().find(|id| stored.contains_key(*id));
            assert_eq!(undead, None, "deleted, and there again");
        }
        assert!(acknowledged > 0, "nothing was created");
        let mut titles = HashSet::new();
        for title in stored.values() {
            assert!(titles.insert(title), "doubled: {title}");
        }
    }
}

impl Person {
    /// One operation, in turn; what is wrong with the answer beside its status.
    async fn act(&mut self) -> Option<String> {
        self.round += 1;
        let (round, title) = (self.round, format!("{} {}", self.name, self.round));
        let user = self.user.clone();
        // An older task, so that none of those just created is always the one.
        let some = self.tasks.len().checked_sub(1).map(|last| round * 7 % (last + 1));
        match (round % 16, some) {
            (0, _) | (_, None) => {
                let reply = user.create(&title).await;
                return self.created(&reply, &[title]);
            }
            (3, _) => {
                let reply = user.create_once(&title, &Uuid::now_v7().to_string()).await;
                return self.created(&reply, &[title]);
            }
            (10, _) => {
                let titles: Vec<_> = (0..2 + round % 11).map(|n| format!("{title}.{n}")).collect();
                let reply = user.bulk_create(&titles).await;
                return self.created(&reply, &titles);
            }
            (2, _) => {
                let reply = user.list("?limit=3").await;
                self.cursor = reply.body["meta"]["next_cursor"].as_str().map(str::to_owned);
                return listed(&reply, None);
            }
            (8, _) => {
                let cursor = self.cursor.as_ref().map_or_else(String::new, |cursor| format!("?cursor={cursor}"));
                return listed(&user.list(&cursor).await, None);
            }
            (13, _) => return listed(&user.list("?is_completed=true").await, Some(true)),
            (5, Some(n)) => {
                let reply = user.patch(&self.tasks[n].0, &title).await;
                return self.changed(n, &reply, Some(title));
            }
            (9, Some(n)) => {
                let reply = user.put(&self.tasks[n].0, &title).await;
                return self.changed(n, &reply, Some(title));
            }
            (7, Some(n)) => {
                let reply = user.complete(&self.tasks[n].0).await;
                return self.changed(n, &reply, None);
            }
            (12, Some(n)) => {
                let reply = user.bulk_complete(&self.pair(n)).await;
                if reply.is_well() {
                    let answered: Vec<_> = data(&reply).iter().map(|task| task["id"].as_str().unwrap_or("")).collect();
                    return (answered != self.pair(n)).then(|| format!("completed others: {answered:?}"));
                }
            }
            (14, Some(n)) => {
                let (id, _) = self.tasks.remove(n);
                if user.delete(&id).await.is_well() {
                    self.gone.insert(id);
                }
            }
            (15, Some(n)) => {
                let pair: Vec<String> = self.pair(n).into_iter().map(str::to_owned).collect();
                self.tasks.retain(|(id, _)| !pair.contains(id));
                if user.bulk_delete(&pair.iter().map(String::as_str).collect::<Vec<_>>()).await.is_well() {
                    self.gone.extend(pair);
                }
            }
            (_, Some(n)) => {
                let reply = user.get(&self.tasks[n].0).await;
                return self.changed(n, &reply, self.tasks[n].1.clone());
            }
        }
        None
    }

    /// One task or two that stand together.
    fn pair(&self, n: usize) -> Vec<&str> {
        self.tasks[n..].iter().take(2).map(|(id, _)| id.as_str()).collect()
    }

    fn created(&mut self, reply: &Reply, titles: &[String]) -> Option<String> {
        if !reply.is_well() {
            return None;
        }
        let one = [reply.body["data"].clone()];
        let tasks = if titles.len() == 1 && reply.body["data"].is_object() { &one[..] } else { data(reply) };
        self.tasks.extend(
            tasks
                .iter()
                .zip(titles)
                .map(|(task, title)| (task["id"].as_str().unwrap_or_default().to_owned(), Some(title.clone()))),
        );
        let said: Vec<_> = tasks.iter().map(|task| task["title"].as_str().unwrap_or_default()).collect();
        (said != titles).then(|| format!("created {said:?} in place of {titles:?}"))
    }

    /// The task is answered as it is to be; after a failure nobody knows its title.
    fn changed(&mut self, n: usize, reply: &Reply, title: Option<String>) -> Option<String> {
        let (id, known) = &mut self.tasks[n];
        if !reply.is_well() {
            *known = None;
            return None;
        }
        if title.is_some() {
            known.clone_from(&title);
        }
        let task = &reply.body["data"];
        let is_right = task["id"] == id.as_str() && title.is_none_or(|title| task["title"] == title);
        (!is_right).then(|| format!("{id} is answered as {task}"))
    }
}

fn data(reply: &Reply) -> &[serde_json::Value] {
    reply.body["data"].as_array().map_or(&[], Vec::as_slice)
}

/// A list holds what it is asked for, newest first.
fn listed(reply: &Reply, is_completed: Option<bool>) -> Option<String> {
    let tasks = data(reply);
    let ids: Vec<_> = tasks.iter().map(|task| task["id"].as_str().unwrap_or_default()).collect();
    let is_right = ids.windows(2).all(|pair| pair[0] > pair[1])
        && is_completed.is_none_or(|wanted| tasks.iter().all(|task| task["is_completed"] == wanted));
    (!is_right).then(|| format!("a list of {ids:?}"))
}

/// Creations with keys, each sent again until it is acknowledged: the titles by their ids.
#[derive(Clone, Default)]
pub(crate) struct Ledger(Arc<Mutex<HashMap<String, String>>>);

impl Ledger {
    /// Creates a task with a title that nobody else uses; at each try on the next one of these users, who are the same
    /// person on different servers.
    pub(crate) async fn create(&self, users: &[User]) {
        let title = Uuid::now_v7().to_string();
        for user in users.iter().cycle() {
            let reply = user.create_once(&title, &title).await;
            if reply.is_well() {
                self.0.lock().unwrap().insert(reply.id().to_owned(), title);
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// What is stored is what was acknowledged, each once.
    #[track_caller]
    pub(crate) fn assert_kept(&self, stored: &HashMap<String, String>) {
        assert_eq!(*self.0.lock().unwrap(), *stored);
    }
}
