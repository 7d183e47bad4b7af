//! A client that makes sentences of requests and lets the contract judge each answer.

use std::fmt;

use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::contract::CONTRACT;

/// A client with one user's token, or with none.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
    tasks: String,
}

/// A request on its way.
pub(crate) struct Call {
    builder: RequestBuilder,
    method: Method,
    path: String,
}

/// An answer that the document promises.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Client {
    pub(crate) fn new(base: &str, user: &str, token: Option<String>) -> Self {
        // Without certificates, which take time to load and are needed for nothing here.
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).tls_certs_only([]);
        let http = http.build().unwrap();
        let tasks =
            format!("/api/{}/tasks", percent_encoding::utf8_percent_encode(user, percent_encoding::NON_ALPHANUMERIC));
        Self { http, base: base.to_owned(), token, tasks }
    }

    /// The path of the user's tasks, and below it.
    pub(crate) fn path(&self, below: &str) -> String {
        format!("{}{below}", self.tasks)
    }

    /// A request to any path.
    pub(crate) fn to(&self, method: Method, path: &str) -> Call {
        let builder = self.http.request(method.clone(), format!("{}{path}", self.base));
        let builder = match &self.token {
            Some(token) => builder.bearer_auth(token),
            None => builder,
        };
        Call { builder, method, path: path.to_owned() }
    }

    /// A request to the user's tasks, or below them.
    pub(crate) fn on(&self, method: Method, below: &str) -> Call {
        self.to(method, &self.path(below))
    }

    pub(crate) async fn list(&self, query: &str) -> Answer {
        self.on(Method::GET, query).send().await
    }

    pub(crate) async fn get(&self, id: &str) -> Answer {
        self.on(Method::GET, &format!("/{id}")).send().await
    }

    pub(crate) async fn post(&self, body: Value) -> Answer {
        self.on(Method::POST, "").json(&body).send().await
    }

    pub(crate) async fn put(&self, id: &str, body: Value) -> Answer {
        self.on(Method::PUT, &format!("/{id}")).json(&body).send().await
    }

    pub(crate) async fn patch(&self, id: &str, body: Value) -> Answer {
        self.on(Method::PATCH, &format!("/{id}")).json(&body).send().await
    }

    pub(crate) async fn complete(&self, id: &str, body: Option<Value>) -> Answer {
        let call = self.on(Method::PATCH, &format!("/{id}/complete"));
        match body {
            Some(body) => call.json(&body).send().await,
            None => call.send().await,
        }
    }

    pub(crate) async fn delete(&self, id: &str) -> Answer {
        self.on(Method::DELETE, &format!("/{id}")).send().await
    }

    /// A new task.
    pub(crate) async fn create(&self, title: &str) -> Value {
        self.post(json!({ "title": title })).await.data(201)
    }

    /// All tasks on the first page.
    pub(crate) async fn all(&self) -> Vec<Value> {
        self.list("?limit=100").await.data(200).as_array().unwrap().clone()
    }
}

impl Call {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.builder = self.builder.header(name, value);
        self
    }

    pub(crate) fn json(mut self, body: &Value) -> Self {
        self.builder = self.builder.json(body);
        self
    }

    /// A body as it is, said to be JSON.
    pub(crate) fn text(self, body: impl Into<reqwest::Body>) -> Self {
        self.body(body).header("content-type", "application/json")
    }

    /// A body as it is, without a word about its type.
    pub(crate) fn body(mut self, body: impl Into<reqwest::Body>) -> Self {
        self.builder = self.builder.body(body);
        self
    }

    /// The request by itself, for an answer that is not looked at.
    pub(crate) fn bare(self) -> reqwest::RequestBuilder {
        self.builder
    }

    pub(crate) async fn send(self) -> Answer {
        let response = self.builder.send().await.unwrap_or_else(|e| panic!("{} {}: {e:?}", self.method, self.path));
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await.expect("a body").to_vec();
        CONTRACT.judge(self.method.as_str(), &self.path, status, &headers, &body);
        // The document cannot say that the two are one.
        if let Ok(json) = serde_json::from_slice::<Value>(&body)
            && let Some(etag) = json.pointer("/data/etag").or_else(|| json.pointer("/current/etag"))
            && status != 409
        {
            assert_eq!(
                headers.get("etag").and_then(|tag| tag.to_str().ok()),
                etag.as_str(),
                "{} {}",
                self.method,
                self.path
            );
        }
        Answer { status, headers, body }
    }
}

/// As text, and not all of one that is long.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, headers, body } = self;
        write!(f, "{status} {headers:?} {:.2000}", String::from_utf8_lossy(body))
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name}")).to_str().unwrap()
    }

    /// The data of a success.
    #[track_caller]
    pub(crate) fn data(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        self.json()["data"].clone()
    }

    /// The problem of a refusal.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        let problem = self.json();
        assert_eq!((self.status, problem["code"].as_str()), (status, Some(code)), "{problem}");
        assert_eq!(problem["type"], format!("/problems/{code}"));
        problem
    }

    /// The JSON pointers of a refused body.
    #[track_caller]
    pub(crate) fn pointers(&self) -> Vec<String> {
        let problem = self.problem(400, "invalid-request");
        let errors = problem["errors"].as_array().unwrap().iter();
        errors.map(|error| error["pointer"].as_str().unwrap_or_else(|| panic!("{problem}")).to_owned()).collect()
    }

    /// Where and by what name a parameter was refused.
    #[track_caller]
    pub(crate) fn parameters(&self) -> Vec<(String, String)> {
        let problem = self.problem(400, "invalid-request");
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{problem}")).to_owned();
        let errors = problem["errors"].as_array().unwrap().iter();
        errors.map(|error| (text(&error["in"]), text(&error["name"]))).collect()
    }
}

/// The id of a task.
pub(crate) fn id(task: &Value) -> &str {
    task["id"].as_str().expect("a task")
}

/// Every writable member of a task that has a title and is completed or not.
pub(crate) fn whole(title: impl Into<Value>, is_completed: impl Into<Value>) -> Value {
    json!({
        "title": title.into(), "description": null, "due_date": null, "due_time": null, "priority": null, "tags": [],
        "is_completed": is_completed.into(),
    })
}
