//! A refusal does not wait for the rest of the request. Either the rest is read and thrown away, so that the connection
//! goes on, or the answer says that it is closed (RFC 9112 §9.3 and §9.6).

use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::length::seconds;
use crate::raw::{Raw, head, json};
use crate::server::Server;

/// In whichever order the client writes and reads.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Client {
    /// It looks for an answer while it sends.
    Attentive,
    /// It looks for the answer when it has sent all.
    Simple,
}

pub(crate) async fn a_refusal_loses_no_request_behind_it() {
    let server = Server::with(&[]).await;
    let token = server.token("alice");
    let good = json(&token);
    let text = good.replace("application/json", "text/plain");
    let table = [
        (401, "POST", "/api/me/tasks", json("nothing")),
        (401, "POST", "/api/me/tasks", String::new()),
        (404, "POST", "/nothing", good.clone()),
        (404, "GET", "/nothing", String::new()),
        (405, "POST", "/livez", String::new()),
        (405, "DELETE", "/api/me/tasks", good.clone()),
        (415, "POST", "/api/me/tasks", text),
        (415, "POST", "/api/me/tasks", format!("{good}Content-Encoding: gzip\r\n")),
        (400, "POST", "/api/me/tasks?unknown=1", good.clone()),
        (400, "POST", "/api/me/tasks", good.clone()),
        (200, "GET", "/livez", String::new()),
    ];
    let mut lost = Vec::new();
    for (status, method, path, headers) in &table {
        for size in [1_000, 100_000, 900_000, 5_000_000] {
            for is_chunked in [false, true] {
                for client in [Client::Attentive, Client::Simple] {
                    let request = request(method, path, headers, size, is_chunked);
                    // Of what is refused for its content, more is too long.
                    let statuses = if matches!(status, 400 | 415) { [*status, 413] } else { [*status; 2] };
                    if let Err(what) = send(&server, request, &statuses, client).await {
                        let chunked = if is_chunked { "in chunks" } else { "at once" };
                        lost.push(format!("{status} {method} {path}, {size} bytes {chunked}, {client:?}: {what}"));
                    }
                }
            }
        }
    }
    assert!(lost.is_empty(), "{} are wrong:\n{}", lost.len(), lost.join("\n"));
}

fn request(method: &str, path: &str, headers: &str, size: usize, is_chunked: bool) -> String {
    if is_chunked {
        let chunk = format!("1000\r\n{}\r\n", "a".repeat(0x1000));
        let chunks = chunk.repeat(size.div_ceil(0x1000));
        head(method, path, &format!("{headers}Transfer-Encoding: chunked\r\n")) + &chunks + "0\r\n\r\n"
    } else {
        head(method, path, &format!("{headers}Content-Length: {size}\r\n")) + &"a".repeat(size)
    }
}

/// Sends this and a second request behind it: what is wrong with the answers.
async fn send(server: &Server, request: String, statuses: &[u16], client: Client) -> Result<(), String> {
    let mut raw = Raw::to(&server.address()).await;
    let all = request + &head("GET", "/livez", "");
    if client == Client::Attentive {
        let mut writer = raw.writer();
        tokio::spawn(async move {
            let _ = writer.write_all(all.as_bytes()).await;
            writer.forget();
        });
    } else {
        // It may be cut short, but the answer is there.
        let _ = timeout(seconds(10), raw.send(all)).await;
    }
    let mut next = async || match timeout(seconds(10), raw.answer()).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("none in 10 s".to_owned()),
    };
    let first = next().await.map_err(|error| format!("no answer: {error}"))?;
    if !statuses.contains(&first.status) {
        return Err(format!("{}", first.status));
    }
    if first.says_close() {
        return Ok(());
    }
    let second = next().await.map_err(|error| format!("the request behind it is lost: {error}"))?;
    if second.status == 200 { Ok(()) } else { Err(format!("the request behind it is {}", second.status)) }
}
