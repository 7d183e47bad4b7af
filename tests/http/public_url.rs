//! A server that a proxy has under a path of its own.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Answer, Client, id};
use crate::contract::CONTRACT;
use crate::server::Server;

const PUBLIC_URL: &str = "https://example.com/tasks";

/// A server there, as it is behind a proxy that strips the path and behind one that does not.
async fn behind_both() -> (Server, [Client; 2]) {
    let server = Server::given(&[("PUBLIC_URL", PUBLIC_URL)]).await;
    let clients = [server.user("alice"), server.user_below("/tasks", "alice")];
    (server, clients)
}

async fn page(client: &Client, path: &str) -> Answer {
    let answer = client.to(Method::GET, path).send().await;
    assert_eq!(answer.status, 200, "{path}");
    answer
}

#[tokio::test]
async fn a_proxy_may_strip_the_path_or_not() {
    let (server, clients) = behind_both().await;
    for client in &clients {
        let created = client.post(json!({ "title": "x" })).await;
        let task = created.data(201);
        assert_eq!(created.header("location"), format!("/tasks/api/alice/tasks/{}", id(&task)));
        let found = server.user("alice").to(Method::GET, created.header("location")).send().await;
        assert_eq!(found.json()["data"], task);
        assert_eq!(client.get(id(&task)).await.data(200), task);
        assert_eq!(
            client.list("?limit=1&include_total=true").await.json()["meta"]["limit"],
            1,
            "the query goes with it"
        );
        client.patch(id(&task), json!({ "title": "y" })).await.data(200);
        assert_eq!(client.delete(id(&task)).await.status, 204);
        for (answer, status, code) in [
            (client.get(id(&task)).await, 404, "task-not-found"),
            (client.list("?limit=0").await, 400, "invalid-request"),
            (client.to(Method::GET, "/nothing").send().await, 404, "path-not-found"),
            (client.to(Method::PUT, "/api/alice/tasks").send().await, 405, "method-not-allowed"),
            (client.to(Method::GET, "/api/bob/tasks").send().await, 403, "user-mismatch"),
        ] {
            let problem = answer.json();
            assert_eq!((answer.status, &problem["code"]), (status, &code.into()));
            assert_eq!(problem["type"], format!("/tasks/problems/{code}"));
            assert_eq!(page(&server.user("alice"), problem["type"].as_str().unwrap()).await.status, 200);
        }
        let lost = client.to(Method::GET, "/nothing").send().await.json();
        assert!(lost["detail"].as_str().unwrap().contains("at /tasks/docs lists"), "{lost}");
        for path in ["/", "/docs/"] {
            let answer = client.to(Method::GET, path).send().await;
            assert_eq!((answer.status, answer.header("location")), (308, "/tasks/docs"));
            assert_eq!(answer.header("cache-control"), "public, no-cache");
        }
    }
    let bare = server.nobody().to(Method::GET, "/tasks").send().await;
    assert_eq!((bare.status, bare.header("location")), (308, "/tasks/docs"));
    for path in ["/tasks/tasks/docs", "/tasksdocs", "/TASKS/docs", "/tasks//docs", "/other/docs", "/ta%73ks/docs"] {
        assert_eq!(server.nobody().to(Method::GET, path).send().await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn a_path_that_looks_like_one_of_ours_works_too() {
    let server = Server::given(&[("PUBLIC_URL", "https://example.com/api")]).await;
    for client in [server.user("alice"), server.user_below("/api", "alice")] {
        let created = client.post(json!({ "title": "x" })).await;
        let task = created.data(201);
        assert_eq!(created.header("location"), format!("/api/api/alice/tasks/{}", id(&task)));
        assert_eq!(client.get(id(&task)).await.data(200), task);
        page(&client, "/docs").await;
    }
}

#[tokio::test]
async fn the_document_says_where_the_server_is() {
    /// Takes the path away again where it was put.
    fn undone(value: &mut Value) {
        match value {
            Value::String(text) => {
                *text = text
                    .replace("/tasks/problems/", "/problems/")
                    .replace("/tasks/api/", "/api/")
                    .replace("(/tasks/docs", "(/docs");
            }
            Value::Array(items) => items.iter_mut().for_each(undone),
            Value::Object(members) => members.values_mut().for_each(undone),
            _ => {}
        }
    }
    let (_server, clients) = behind_both().await;
    for client in &clients {
        let answer = page(client, "/openapi.json").await;
        let mut document = answer.json();
        assert_eq!(document["servers"], json!([{ "url": PUBLIC_URL }]));
        assert_ne!(document["info"], CONTRACT.document["info"], "a link of the description leads below the path");
        document["servers"] = CONTRACT.document["servers"].clone();
        let text = document.to_string();
        assert!(text.contains("\"type\":\"/tasks/problems/") && !text.contains("\"type\":\"/problems/"));
        assert!(text.contains("\"/tasks/api/alice/tasks/"));
        undone(&mut document);
        assert_eq!(document, CONTRACT.document);
        let yaml = String::from_utf8(page(client, "/openapi.yaml").await.body).unwrap();
        assert!(yaml.contains(PUBLIC_URL) && !yaml.contains("type: /problems/"));
        let zipped = client.to(Method::GET, "/openapi.json").header("accept-encoding", "gzip").send().await;
        let mut text = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(zipped.body.as_slice()), &mut text).unwrap();
        assert_eq!((text, zipped.header("vary")), (answer.body, "Accept-Encoding"));
    }
}

#[tokio::test]
async fn every_link_of_a_page_leads_below_the_path() {
    let (server, clients) = behind_both().await;
    let direct = server.user("alice");
    for client in &clients {
        let mut links = BTreeSet::new();
        for path in ["/docs", "/docs/reference", "/problems", "/problems/task-not-found", "/docs/start.js"] {
            let text = String::from_utf8(page(client, path).await.body).unwrap();
            for before in ["href=\"", "src=\"", "url: '"] {
                let found = text.split(before).skip(1).map(|rest| rest.split(['"', '\'']).next().unwrap().to_owned());
                links.extend(found.filter(|link| !link.starts_with("data:")));
            }
        }
        assert!(links.len() > 20, "{links:?}");
        for link in links {
            assert!(link.starts_with("/tasks/"), "{link}");
            let answer = page(&direct, &link).await;
            assert_eq!(link.contains("?v="), answer.header("cache-control").contains("immutable"), "{link}");
        }
        let reference = String::from_utf8(page(client, "/docs/reference").await.body).unwrap();
        assert!(
            reference.contains("export TASKS=https://example.com/tasks ") && !reference.contains("tasks.example.com")
        );
        let lost = String::from_utf8(page(client, "/problems/path-not-found").await.body).unwrap();
        assert!(lost.contains("at /tasks/docs lists"), "{lost}");
    }
}

#[tokio::test]
async fn nothing_is_built_from_what_a_request_says_of_its_host() {
    let plain = Server::on_sqlite().await;
    let (public, _) = behind_both().await;
    for server in [plain, public] {
        let alice = server.user("alice");
        let task = alice.create("x").await;
        let one = alice.path(&format!("/{}", id(&task)));
        for path in ["/", "/docs", "/docs/start.js", "/openapi.json", "/problems", "/nothing", &one, "/api/bob/tasks"] {
            let ask = || alice.to(Method::GET, path).header("x-request-id", "seven");
            let mut asked = ask();
            for (name, value) in [
                ("host", "evil.example"),
                ("forwarded", "host=evil.example;proto=https"),
                ("x-forwarded-host", "evil.example"),
                ("x-forwarded-proto", "https"),
                ("x-forwarded-prefix", "/evil"),
                ("x-forwarded-port", "666"),
                ("x-original-url", "/evil"),
                ("x-rewrite-url", "/evil"),
            ] {
                asked = asked.header(name, value);
            }
            let (honest, told) = (ask().send().await, asked.send().await);
            let without_date = |answer: &Answer| {
                let mut headers = answer.headers.clone();
                headers.remove("date");
                headers
            };
            assert_eq!(without_date(&honest), without_date(&told), "{path}");
            assert!(honest.body == told.body, "{path}");
        }
    }
}
