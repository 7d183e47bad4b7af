//! The pages outside the document: the document itself, Swagger UI, a page for each problem.

use std::io::Read;

use reqwest::Method;
use tasks_server::identity::key_set::Pace;

use crate::client::Answer;
use crate::contract::CONTRACT;
use crate::issuer::{Issuer, Signer};
use crate::server::Server;

on_each_engine!(
    the_served_document_is_the_committed_one,
    swagger_ui_comes_whole_from_this_server,
    pages_are_compressed_and_kept_by_caches,
    every_problem_has_its_page,
    the_reference_has_samples_that_compile,
);

async fn page(server: &Server, path: &str) -> Answer {
    let answer = server.nobody().to(Method::GET, path).send().await;
    assert_eq!(answer.status, 200, "{path}");
    answer
}

async fn the_served_document_is_the_committed_one(server: Server) {
    let document = page(&server, "/openapi.json").await;
    assert_eq!(document.header("content-type"), "application/json");
    assert_eq!(document.json(), CONTRACT.document);
    let yaml = page(&server, "/openapi.yaml").await;
    let text = String::from_utf8(yaml.body).unwrap();
    assert!(text.starts_with("openapi: 3.1.0") || text.starts_with("openapi: \"3.1.0\""), "{}", &text[..40]);
}

async fn swagger_ui_comes_whole_from_this_server(server: Server) {
    let to_docs = server.nobody().to(Method::GET, "/").send().await;
    assert_eq!((to_docs.status, to_docs.header("location")), (308, "/docs"));
    let ui = page(&server, "/docs").await;
    let policy = ui.header("content-security-policy");
    assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'self';"), "{policy}");
    let html = String::from_utf8(ui.body).unwrap();
    assert!(!html.contains("http"), "nothing from another host");
    let links: Vec<&str> = html.split('"').filter(|text| text.contains("?v=")).collect();
    assert_eq!(links.len(), 3);
    for link in links {
        let asset = page(&server, link).await;
        assert_eq!(asset.header("cache-control"), "public, max-age=31536000, immutable");
        assert!(asset.body.len() > 100);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_dialog_for_tokens_says_how_to_get_one_here() {
    let script = async |server: &Server| String::from_utf8(page(server, "/docs/start.js").await.body).unwrap();
    let shared = script(&Server::on_sqlite().await).await;
    assert!(shared.contains("shares its secret") && shared.contains("tasks-server token --sub alice"), "{shared}");
    let issuer = Issuer::with(&[&Signer::new("a")]).await;
    let published = script(&Server::trusting(&issuer, Pace::default()).await).await;
    assert!(published.contains("/api/auth/token") && !published.contains("tasks-server token"), "{published}");
}

async fn pages_are_compressed_and_kept_by_caches(server: Server) {
    for path in ["/docs", "/docs/swagger-ui.js", "/openapi.json", "/openapi.yaml", "/problems"] {
        let plain = page(&server, path).await;
        assert_eq!(plain.header("vary"), "Accept-Encoding");
        let call = server.nobody().to(Method::GET, path).header("accept-encoding", "br, gzip;q=0.8");
        let zipped = call.send().await;
        assert_eq!(zipped.header("content-encoding"), "gzip");
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(zipped.body.as_slice()).read_to_end(&mut text).unwrap();
        assert_eq!(text, plain.body);
        assert_ne!(plain.header("etag"), zipped.header("etag"));
        for (known, status) in [(plain.header("etag"), 304), ("\"x\", *", 304), ("\"other\"", 200)] {
            let again = server.nobody().to(Method::GET, path).header("if-none-match", known).send().await;
            assert_eq!((again.status, again.body.is_empty()), (status, status == 304));
        }
        let refused = server.nobody().to(Method::GET, path).header("accept-encoding", "gzip;q=0").send().await;
        assert_eq!(refused.body, plain.body);
    }
}

async fn every_problem_has_its_page(server: Server) {
    let codes =
        CONTRACT.document["components"]["schemas"]["Problem"]["properties"]["code"]["examples"].as_array().unwrap();
    assert!(codes.len() > 15);
    let index = String::from_utf8(page(&server, "/problems").await.body).unwrap();
    for code in codes {
        let code = code.as_str().unwrap();
        assert!(index.contains(&format!("/problems/{code}\"")), "{code}");
        let text = String::from_utf8(page(&server, &format!("/problems/{code}")).await.body).unwrap();
        assert!(text.contains(code));
    }
}

/// `samples.rs` has what the page shows, and is compiled with these tests; `REFRESH=1` writes it anew.
async fn the_reference_has_samples_that_compile(server: Server) {
    let page = String::from_utf8(page(&server, "/docs/reference").await.body).unwrap();
    let (_, samples) = page.split_once("<pre class=\"rust\"").unwrap();
    let samples: Vec<_> = samples
        .split("<pre class=\"rust\"")
        .map(|rest| {
            let code = rest.split("<code>").nth(1).unwrap().split("</code>").next().unwrap();
            code.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
        })
        .collect();
    assert_eq!(samples.len(), 1 + CONTRACT.operations.len(), "what stands before all, and one for each operation");
    let mut file = "//! The samples of the reference page, written by `REFRESH=1 cargo test --test http pages`.\n\n\
        pub(crate) async fn samples() -> reqwest::Result<()> {\n"
        .to_owned();
    for sample in samples {
        file.extend(["\n", &sample, "\n"]);
    }
    file.push_str("\nOk(())\n}\n");
    if std::env::var("REFRESH").is_ok() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/http/samples.rs"), &file).unwrap();
    } else {
        assert_eq!(file, include_str!("samples.rs"), "stale: REFRESH=1 cargo test --test http pages");
    }
}
