//! Lists by filter and in every order, and what they are searched for.

use reqwest::Method;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use crate::client::{Client, id};
use crate::server::Server;

on_each_engine!(
    filters_take_what_they_say,
    every_order_has_an_end_for_what_has_nothing,
    texts_are_found_whatever_their_letters,
    a_search_sees_every_write,
    pages_of_every_order_end_and_list_each_once,
    a_page_lists_nothing_twice_while_others_write,
    a_cursor_belongs_to_its_list,
    what_is_wrong_with_a_list_is_named,
    a_search_is_answered_while_others_write,
    what_an_older_server_writes_is_found,
    the_recipes_of_the_readme_work,
);

/// The titles of a list, joined.
async fn titles(client: &Client, query: &str) -> String {
    let page = client.list(query).await.data(200);
    page.as_array().unwrap().iter().map(|task| task["title"].as_str().unwrap()).collect::<Vec<_>>().join(" ")
}

/// Tasks of these drafts, one after another.
async fn create(client: &Client, drafts: &Value) {
    for draft in drafts.as_array().unwrap() {
        client.post(draft.clone()).await.data(201);
    }
}

async fn board(client: &Client) {
    let drafts = json!([
        { "title": "a", "priority": "low", "tags": ["x"], "due_date": "2026-03-01" },
        { "title": "b", "priority": "high", "tags": ["x", "y"], "due_date": "2026-02-28", "due_time": "09:00" },
        { "title": "c", "tags": ["y"], "due_date": "2026-02-28" },
        { "title": "d", "priority": "medium", "tags": ["X"], "is_completed": true },
        { "title": "e", "priority": "high", "due_date": "2026-02-28", "due_time": "08:59" },
    ]);
    create(client, &drafts).await;
}

async fn filters_take_what_they_say(server: Server) {
    let alice = server.user("alice");
    board(&alice).await;
    server.user("bob").post(json!({ "title": "bob's", "priority": "high", "tags": ["x"] })).await.data(201);
    for (query, listed) in [
        ("priority=high", "e b"),
        ("priority=low&priority=high", "e b a"),
        ("tag=x", "b a"),
        ("tag=X", "d"),
        ("tag=y&tag=x", "b"),
        ("tag=z", ""),
        ("due_from=2026-03-01", "a"),
        ("due_to=2026-02-28", "e c b"),
        ("due_from=2026-02-28&due_to=2026-02-28", "e c b"),
        ("due_from=0001-01-01&due_to=9999-12-31", "e c b a"),
        ("is_completed=true&priority=medium", "d"),
        ("is_completed=false&priority=medium", ""),
        ("priority=high&tag=y&due_to=2026-12-31&is_completed=false&q=B", "b"),
    ] {
        assert_eq!(titles(&alice, &format!("?{query}")).await, listed, "{query}");
        let page = alice.list(&format!("?{query}&include_total=true&limit=1")).await.json();
        assert_eq!(page["meta"]["total"], listed.split_whitespace().count(), "{query}");
    }
}

async fn every_order_has_an_end_for_what_has_nothing(server: Server) {
    let alice = server.user("alice");
    board(&alice).await;
    let first = alice.list("?sort=created_at&limit=1").await.data(200)[0].clone();
    alice.patch(id(&first), json!({ "description": "changed" })).await.data(200);
    for (sort, listed) in [
        ("-created_at", "e d c b a"),
        ("created_at", "a b c d e"),
        // A day before its hours; no day last.
        ("due_date", "c e b a d"),
        ("priority", "b e d a c"),
        ("title", "a b c d e"),
        ("-updated_at", "a e d c b"),
    ] {
        assert_eq!(titles(&alice, &format!("?sort={sort}")).await, listed, "{sort}");
    }
    create(&alice, &json!([{ "title": "Z" }, { "title": "É" }, { "title": "B" }, { "title": "b" }])).await;
    assert_eq!(titles(&alice, "?sort=title").await, "a b B b c d e Z É", "by bytes of what is folded, then by age");
}

async fn texts_are_found_whatever_their_letters(server: Server) {
    let alice = server.user("alice");
    let drafts = json!([
        { "title": "Straße", "description": "100 %\nBLUE_moon" },
        { "title": "ΜΆΪΟΣ" },
        { "title": "Cafe\u{301} ﬁne" },
        { "title": "50% off", "description": "a_b\tc" },
        { "title": "x", "description": "y" },
    ]);
    create(&alice, &drafts).await;
    for (text, listed) in [
        ("STRASSE", "Straße"),
        ("straße", "Straße"),
        ("μάϊος", "ΜΆΪΟΣ"),
        ("CAFÉ FINE", "Cafe\u{301} ﬁne"),
        ("%", "50% off Straße"),
        ("0 %", "Straße"),
        ("_", "50% off Straße"),
        ("E_M", "Straße"),
        ("b\tC", "50% off"),
        ("%\nb", "Straße"),
        ("\\", ""),
        // Neither from the title into the description, nor from one task into another.
        ("xy", ""),
        ("x\ny", ""),
        ("'", ""),
    ] {
        let query = percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
        assert_eq!(titles(&alice, &format!("?q={query}")).await, listed, "{text:?}");
    }
    // Nobody sees it, and it is in everything.
    assert_eq!(alice.list("?q=%C2%AD").await.data(200).as_array().unwrap().len(), 5);
}

async fn a_search_sees_every_write(server: Server) {
    let alice = server.user("alice");
    let task = alice.create("first").await;
    let id = id(&task);
    assert_eq!(titles(&alice, "?q=FIRST").await, "first");
    alice.patch(id, json!({ "title": "second" })).await.data(200);
    assert_eq!((titles(&alice, "?q=first").await, titles(&alice, "?q=SECOND").await), (String::new(), "second".into()));
    alice.patch(id, json!({ "description": "third" })).await.data(200);
    assert_eq!(titles(&alice, "?q=THIRD").await, "second");
    alice.complete(id, None).await.data(200);
    assert_eq!(titles(&alice, "?q=third&is_completed=true").await, "second");
    let entry = json!({ "tasks": [{ "id": id, "title": "Fourth", "description": null }] });
    alice.on(Method::POST, "/bulk-patch").json(&entry).send().await.data(200);
    assert_eq!((titles(&alice, "?q=fourth").await, titles(&alice, "?q=third").await), ("Fourth".into(), String::new()));
    let replacement = crate::client::whole("fifth", true);
    alice.put(id, replacement).await.data(200);
    let page = alice.list("?q=FIFTH&include_total=true").await.json();
    assert_eq!((page["meta"]["total"].as_i64(), page["data"][0]["version"].as_i64()), (Some(1), Some(6)));
    // More than are folded at a time, and in what they are counted.
    for n in 0..6 {
        let drafts: Vec<_> = (0..100).map(|m| json!({ "title": format!("Task {n} {m}") })).collect();
        alice.on(Method::POST, "/bulk-create").json(&json!({ "tasks": drafts })).send().await.data(201);
    }
    let page = alice.list("?q=TASK%205%2099&include_total=true").await.json();
    assert_eq!((page["meta"]["total"].as_i64(), &page["data"][0]["title"]), (Some(1), &json!("Task 5 99")));
    assert_eq!(alice.list("?q=task&include_total=true&limit=1").await.json()["meta"]["total"], 600);
}

const SORTS: [&str; 6] = ["-created_at", "created_at", "due_date", "priority", "title", "-updated_at"];

async fn pages_of_every_order_end_and_list_each_once(server: Server) {
    let alice = server.user("alice");
    board(&alice).await;
    board(&alice).await;
    let long = "\u{1F600}".repeat(200);
    create(&alice, &json!([{ "title": long }, { "title": long }, { "title": "x", "priority": "low" }])).await;
    for sort in SORTS {
        for filter in ["", "&is_completed=false", "&tag=x", "&q=b"] {
            let whole = alice.list(&format!("?sort={sort}{filter}&limit=100")).await.data(200);
            for limit in [1, 2, 5] {
                let (mut listed, mut cursor) = (Vec::new(), String::new());
                loop {
                    let page = alice.list(&format!("?sort={sort}{filter}&limit={limit}{cursor}")).await.json();
                    listed.extend(page["data"].as_array().unwrap().clone());
                    let Some(next) = page["meta"]["next_cursor"].as_str() else { break };
                    cursor = format!("&cursor={next}");
                }
                assert_eq!(json!(listed), whole, "{sort} {filter} {limit}");
            }
        }
    }
}

async fn a_page_lists_nothing_twice_while_others_write(server: Server) {
    let alice = server.user("alice");
    for sort in SORTS {
        let drafts: Vec<_> = (0..12).map(|n| json!({ "title": format!("{sort} {n:02}"), "tags": [sort] })).collect();
        let first = alice.on(Method::POST, "/bulk-create").json(&json!({ "tasks": drafts })).send().await.data(201);
        let (mut listed, mut cursor, mut n) = (Vec::new(), String::new(), 0);
        loop {
            let page = alice.list(&format!("?sort={sort}&tag={sort}&limit=2{cursor}")).await.json();
            listed.extend(page["data"].as_array().unwrap().iter().map(|task| id(task).to_owned()));
            let Some(next) = page["meta"]["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
            // New ones at both ends, one gone, and one changed where that moves nothing.
            alice.post(json!({ "title": format!("{sort} 0"), "tags": [sort] })).await.data(201);
            alice.post(json!({ "title": format!("{sort} zz"), "tags": [sort] })).await.data(201);
            if n == 0 {
                alice.delete(id(&first[11])).await;
                alice.delete(id(&first[0])).await;
            }
            if sort != "-updated_at" {
                alice.complete(id(&first[5]), Some(json!({ "is_completed": n % 2 == 0 }))).await.data(200);
            }
            n += 1;
            assert!(n < 40, "{sort}: it comes to an end where new ones do not lie ahead");
            if sort == "created_at" || sort == "due_date" || sort == "priority" || sort == "title" {
                // New ones lie ahead: read on only to the old ones' end.
                if listed.iter().any(|listed| *listed == id(&first[10])) {
                    break;
                }
            }
        }
        let mut once = listed.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), listed.len(), "{sort}: none twice");
        for task in &first.as_array().unwrap()[1..11] {
            assert!(listed.iter().any(|listed| listed == id(task)), "{sort}: {task}");
        }
    }
}

async fn a_cursor_belongs_to_its_list(server: Server) {
    let alice = server.user("alice");
    board(&alice).await;
    let lists = [
        "",
        "&sort=title",
        "&sort=due_date",
        "&is_completed=false",
        "&tag=x",
        "&priority=high",
        "&q=%20",
        "&due_to=2027-01-01",
    ];
    create(&alice, &json!([{ "title": "f g", "tags": ["x"], "priority": "high" }, { "title": "h i" }])).await;
    for made in lists {
        let page = alice.list(&format!("?limit=1{made}")).await.json();
        let cursor = page["meta"]["next_cursor"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned();
        for sent in lists {
            let answer = alice.list(&format!("?limit=1&cursor={cursor}{sent}")).await;
            if sent == made {
                answer.data(200);
            } else {
                assert_eq!(answer.parameters(), [("query".to_owned(), "cursor".to_owned())], "{made} {sent}");
            }
        }
        // Somebody else's place is of no use, and no harm.
        server.user("bob").list(&format!("?limit=1&cursor={cursor}{made}")).await.data(200);
    }
    // The order in which a filter's values come is none of its own.
    let page = alice.list("?limit=1&priority=high&priority=low").await.json();
    let cursor = page["meta"]["next_cursor"].as_str().unwrap();
    alice.list(&format!("?limit=5&priority=low&priority=high&cursor={cursor}")).await.data(200);
}

async fn what_is_wrong_with_a_list_is_named(server: Server) {
    let alice = server.user("alice");
    for (query, name) in [
        ("priority=urgent", "priority"),
        ("priority=", "priority"),
        ("priority=high&priority=high", "priority"),
        ("priority=high,low", "priority"),
        ("tag=", "tag"),
        ("tag=%20", "tag"),
        ("tag=x&tag=y&tag=x", "tag"),
        ("tag=a%0Ab", "tag"),
        ("due_from=2026-02-29", "due_from"),
        ("due_from=2026-1-5", "due_from"),
        ("due_to=2026-01-05T10:00:00Z", "due_to"),
        ("due_to=today", "due_to"),
        ("due_from=2026-02-02&due_to=2026-02-01", "due_from"),
        ("q=", "q"),
        ("q=a%00b", "q"),
        ("q=%FF", "q"),
        ("tag=%E9", "tag"),
        ("q=a&q=b", "q"),
        ("sort=newest", "sort"),
        ("sort=-title", "sort"),
        ("sort=title&sort=priority", "sort"),
        ("cursor=s00", "cursor"),
        ("is_completed=1", "is_completed"),
        ("due=2026-02-02", "due"),
    ] {
        assert_eq!(
            alice.list(&format!("?{query}")).await.parameters(),
            [("query".to_owned(), name.to_owned())],
            "{query}"
        );
    }
    let long = |name: &str, text: &str, times| format!("?{name}={}", text.repeat(times));
    alice.list(&long("q", "%C3%A9", 100)).await.data(200);
    assert_eq!(alice.list(&long("q", "%C3%A9", 101)).await.parameters().len(), 1);
    let tags: Vec<_> = (0..21).map(|n| format!("tag={n}")).collect();
    alice.list(&format!("?{}", tags[..20].join("&"))).await.data(200);
    assert_eq!(alice.list(&format!("?{}", tags.join("&"))).await.parameters().len(), 1);
    let told = alice.list("?sort=x").await.problem(400, "invalid-request");
    for sort in SORTS {
        assert!(told["detail"].as_str().unwrap().contains(sort), "{told}");
    }
}

/// Writers who leave no moment in which all is folded.
async fn a_search_is_answered_while_others_write(server: Server) {
    let alice = server.user("alice");
    let drafts: Vec<_> =
        (0..100).map(|n| json!({ "title": format!("x {n:02}"), "tags": [format!("{}", n % 2)] })).collect();
    let tasks = alice.on(Method::POST, "/bulk-create").json(&json!({ "tasks": drafts })).send().await.data(201);
    let stop = std::sync::atomic::AtomicBool::new(false);
    let write = async |seed: usize| {
        let mut n = seed;
        while !stop.load(std::sync::atomic::Ordering::Relaxed) {
            n += 7;
            alice.patch(id(&tasks[n % 100]), json!({ "title": format!("x {:02} {n}", n % 100) })).await.data(200);
        }
    };
    let read = async {
        for round in 0..25 {
            let page = alice.list("?q=X&include_total=true&limit=7").await.json();
            assert_eq!(
                (page["meta"]["total"].as_i64(), page["data"].as_array().unwrap().len()),
                (Some(100), 7),
                "{round}"
            );
            assert_eq!(titles(&alice, "?q=nowhere").await, "");
            let half = alice.list("?q=x&tag=1&sort=title&limit=100").await.data(200);
            let half: Vec<_> = half.as_array().unwrap().iter().map(|task| task["title"].as_str().unwrap()).collect();
            assert!(half.len() == 50 && half.is_sorted(), "{half:?}");
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    };
    tokio::join!(read, write(0), write(1), write(2));
}

async fn what_an_older_server_writes_is_found(server: Server) {
    let alice = server.user("alice");
    let task = alice.create("before").await;
    alice.create("other").await;
    assert_eq!(titles(&alice, "?q=before&sort=title").await, "before");
    // As 0.1.0 writes: it counts the version, and knows nothing of what is folded.
    let database = sea_orm::Database::connect(server.direct()).await.unwrap();
    let old = "UPDATE tasks SET title = 'AFTER', version = version + 1 WHERE title = 'before'";
    database.execute_unprepared(old).await.unwrap();
    assert_eq!(titles(&alice, "?q=before").await, "");
    let page = alice.list("?q=after&include_total=true").await.json();
    assert_eq!((page["meta"]["total"].as_i64(), page["data"][0]["version"].as_i64()), (Some(1), Some(2)));
    // One that keeps its title keeps its place, on a later page too.
    let page = alice.list("?sort=title&limit=1").await.json();
    let cursor = page["meta"]["next_cursor"].as_str().unwrap();
    let old = "UPDATE tasks SET version = version + 1 WHERE title = 'other'";
    database.execute_unprepared(old).await.unwrap();
    assert_eq!(titles(&alice, &format!("?sort=title&limit=1&cursor={cursor}")).await, "other");
    assert_eq!(alice.get(id(&task)).await.data(200)["version"], 2, "folding is no change");
}

async fn the_recipes_of_the_readme_work(server: Server) {
    let alice = server.user("alice");
    let drafts = json!([
        { "title": "later", "due_date": "2026-03-01" },
        { "title": "today", "due_date": "2026-02-28", "due_time": "18:30", "tags": ["work"], "priority": "low" },
        { "title": "overdue", "due_date": "2026-02-27", "tags": ["work"], "priority": "high" },
        { "title": "done", "due_date": "2026-02-27", "tags": ["work"], "is_completed": true },
        { "title": "some day", "tags": ["home"] },
    ]);
    create(&alice, &drafts).await;
    for (recipe, listed) in [
        ("due_to=2026-02-28&is_completed=false&sort=due_date", "overdue today"),
        ("tag=work&is_completed=false&sort=priority", "overdue today"),
        ("q=DAY&limit=10", "some day today"),
    ] {
        let (first, _) = recipe.split_once('=').unwrap();
        let readme = include_str!("../../api/README.md");
        assert!(readme.contains(&format!("/tasks?{first}=")), "{recipe}");
        assert_eq!(titles(&alice, &format!("?{recipe}")).await, listed, "{recipe}");
    }
}
