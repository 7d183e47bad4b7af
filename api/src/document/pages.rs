//! The pages about the contract, outside the document: the document itself, Swagger UI, and a page for each problem.
//!
//! What is large is compressed when the crate is built, the rest at its first request. Nothing on them comes from
//! another host.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Read, Write as _};
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use poem::endpoint::{BoxEndpoint, make_sync};
use poem::http::{HeaderMap, Method, StatusCode, header};
use poem::{EndpointExt, Request, Response};
use poem_openapi::OpenApi;
use poem_openapi::registry::{MetaApi, Registry};
use serde_json::Value;

use crate::document::{openapi, reference};
use crate::http::error::{Error, ProblemCode};

/// The pages: routes without a place in the document.
pub(crate) struct Pages {
    ui: Arc<Page>,
    start: Arc<Page>,
}

impl Pages {
    /// Swagger UI's dialog for tokens ends with `advice`, in Markdown, on how to get one.
    pub(crate) fn new(advice: &str) -> Self {
        let start = start_script(advice);
        Self { ui: Arc::new(swagger_ui(&start)), start: Arc::new(start) }
    }
}

impl OpenApi for Pages {
    fn meta() -> Vec<MetaApi> {
        Vec::new()
    }

    fn register(_: &mut Registry) {}

    fn add_routes(self, table: &mut HashMap<String, HashMap<Method, BoxEndpoint<'static>>>) {
        let Self { ui, start } = self;
        let mut add = |path: &str, endpoint: BoxEndpoint<'static>| {
            table.entry(path.to_owned()).or_default().insert(Method::GET, endpoint);
        };
        add("/docs", make_sync(move |request| ui.answer(&request)).boxed());
        add("/docs/start.js", make_sync(move |request| start.answer(&request)).boxed());
        let mut get = |path: &str, page: fn(&Request) -> Result<Response, Error>| {
            add(path, make_sync(move |request| page(&request).map_err(poem::Error::from)).boxed());
        };
        get("/", |_| Ok(to_docs()));
        get("/docs/", |_| Ok(to_docs()));
        get("/docs/swagger-ui.css", |request| Ok(STYLE.answer(request)));
        get("/docs/swagger-ui.js", |request| Ok(SCRIPT.answer(request)));
        get("/docs/reference", |request| Ok(REFERENCE.answer(request)));
        get("/openapi.json", |request| Ok(DOCUMENT_JSON.answer(request)));
        get("/openapi.yaml", |request| Ok(DOCUMENT_YAML.answer(request)));
        get("/problems", |request| Ok(PROBLEMS.answer(request)));
        get("/problems/:code", problem);
    }
}

/// A page, ready to be sent.
struct Page {
    content_type: &'static str,
    gzip: Bytes,
    hash: String,
    policy: &'static str,
}

/// What Swagger UI may do: run and show what this server sends, and call this server.
const UI_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// What a page without script may do.
const TEXT_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; \
                           form-action 'none'; frame-ancestors 'none'";

/// What the build script compressed.
macro_rules! built {
    ($name:literal) => {
        Bytes::from_static(include_bytes!(concat!(env!("OUT_DIR"), "/", $name)))
    };
}

/// The committed document, which a test holds to be the derived one.
static DOCUMENT_JSON: LazyLock<Page> =
    LazyLock::new(|| Page::compressed("application/json", built!("openapi.json.gz"), TEXT_POLICY));
static DOCUMENT_YAML: LazyLock<Page> =
    LazyLock::new(|| Page::new("application/yaml", openapi::YAML.as_bytes(), TEXT_POLICY));
static STYLE: LazyLock<Page> =
    LazyLock::new(|| Page::compressed("text/css; charset=utf-8", built!("swagger-ui.css.gz"), UI_POLICY));
static SCRIPT: LazyLock<Page> =
    LazyLock::new(|| Page::compressed("text/javascript; charset=utf-8", built!("swagger-ui.js.gz"), UI_POLICY));
static REFERENCE: LazyLock<Page> = LazyLock::new(|| {
    // The document is JSON that we wrote ourselves.
    let document = serde_json::from_str(&openapi::JSON).unwrap_or_default();
    html("Reference", reference::STYLE, &reference::page(&document))
});
static PROBLEMS: LazyLock<Page> = LazyLock::new(|| {
    let mut rows = String::new();
    for code in ProblemCode::ALL {
        let (name, status, title) = (code.as_str(), code.status().as_u16(), code.title());
        // Writing to a String cannot fail.
        let _ = writeln!(
            rows,
            r#"<tr><td>{status}</td><td><a href="/problems/{name}">{name}</a></td><td>{title}</td></tr>"#
        );
    }
    html(
        "Problems",
        "",
        &format!(
            "<table>\n<thead><tr><th>Status</th><th>Code</th><th>Title</th></tr></thead>\n<tbody>\n{rows}</tbody>\n</table>"
        ),
    )
});
static PROBLEM: LazyLock<HashMap<&str, Page>> = LazyLock::new(|| {
    let page = |code: &ProblemCode| {
        let (status, help) = (code.status(), code.help().replace('<', "&lt;").replace('>', "&gt;"));
        let body = format!(
            "<p><code>{}</code>, status {}</p>\n<p>{help}</p>\n<p><a href=\"/problems\">All problems</a></p>",
            code.as_str(),
            status.as_u16(),
        );
        (code.as_str(), html(code.title(), "", &body))
    };
    ProblemCode::ALL.iter().map(page).collect()
});

/// Starts Swagger UI. What the document says of the bearer scheme is the same everywhere; how to get a token depends on
/// the server's settings, and is added to it here.
fn start_script(advice: &str) -> Page {
    let advice = Value::from(advice);
    let text = format!(
        "const advice = {advice};
const withAdvice = text => {{
  const document = JSON.parse(text);
  document.components.securitySchemes.bearer.description += '\\n\\n' + advice;
  return JSON.stringify(document);
}};
SwaggerUIBundle({{
  url: '/openapi.json',
  dom_id: '#ui',
  deepLinking: true,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  validatorUrl: null,
  plugins: [() => ({{
    statePlugins: {{ spec: {{ wrapActions: {{ updateSpec: update => text => update(withAdvice(text)) }} }} }},
  }})],
}});
"
    );
    Page::new("text/javascript; charset=utf-8", text.as_bytes(), UI_POLICY)
}

fn swagger_ui(start: &Page) -> Page {
    let (style, script, start) = (&STYLE.hash, &SCRIPT.hash, &start.hash);
    let text = format!(
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Tasks API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/swagger-ui.css?v={style}">
<script defer src="/docs/swagger-ui.js?v={script}"></script>
<script defer src="/docs/start.js?v={start}"></script>
</head>
<body>
<main id="ui"></main>
<noscript>Swagger UI needs JavaScript. The <a href="/docs/reference">reference</a> does not, and the contract
itself is at <a href="/openapi.json">/openapi.json</a>.</noscript>
</body>
</html>
"#
    );
    Page::new(HTML, text.as_bytes(), UI_POLICY)
}

const HTML: &str = "text/html; charset=utf-8";

/// A page without script, with this style beside the common one.
fn html(title: &str, style: &str, body: &str) -> Page {
    let text = format!(
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · Tasks API</title>
<link rel="icon" href="data:,">
<style>
body {{ max-width: 45rem; margin: 3rem auto; padding: 0 1rem; font: 1rem/1.6 system-ui, sans-serif; color: #1b1f24; background: #fff; }}
a {{ color: #0b57a4; }}
td, th {{ padding: .2rem 1rem .2rem 0; text-align: left; vertical-align: top; }}
{style}</style>
</head>
<body>
<main>
<h1>{title}</h1>
{body}
</main>
</body>
</html>
"#
    );
    Page::new(HTML, text.as_bytes(), TEXT_POLICY)
}

fn problem(request: &Request) -> Result<Response, Error> {
    let code = request.raw_path_param("code").unwrap_or_default();
    PROBLEM.get(code).map(|page| page.answer(request)).ok_or(Error::PathNotFound)
}

fn to_docs() -> Response {
    Response::builder().status(StatusCode::PERMANENT_REDIRECT).header(header::LOCATION, "/docs").finish()
}

impl Page {
    fn new(content_type: &'static str, plain: &[u8], policy: &'static str) -> Self {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        // Writing to a Vec cannot fail.
        let gzip = gzip.write_all(plain).and_then(|()| gzip.finish()).unwrap_or_default();
        Self::compressed(content_type, gzip.into(), policy)
    }

    fn compressed(content_type: &'static str, gzip: Bytes, policy: &'static str) -> Self {
        let mut hasher = DefaultHasher::new();
        gzip.hash(&mut hasher);
        Self { content_type, gzip, hash: format!("{:016x}", hasher.finish()), policy }
    }

    /// The page for the few who do not read gzip.
    fn plain(&self) -> Vec<u8> {
        let mut plain = Vec::new();
        // What we compressed ourselves can be read.
        let _ = GzDecoder::new(&*self.gzip).read_to_end(&mut plain);
        plain
    }

    /// The page, compressed for whoever reads that; 304 for whoever has it.
    fn answer(&self, request: &Request) -> Response {
        let gzip = accepts_gzip(request.headers());
        let etag = format!("\"{}{}\"", self.hash, if gzip { "-gz" } else { "" });
        // A request that names the content's hash may keep the answer for good.
        let pinned = request.uri().query() == Some(&format!("v={}", self.hash));
        let mut response =
            Response::builder().header(header::ETAG, &etag).header(header::VARY, "Accept-Encoding").header(
                header::CACHE_CONTROL,
                if pinned { "public, max-age=31536000, immutable" } else { "public, no-cache" },
            );
        let known = request.headers().get_all(header::IF_NONE_MATCH).iter();
        let known = known.filter_map(|value| value.to_str().ok()).flat_map(|list| list.split(','));
        if known.map(|tag| tag.trim().trim_start_matches("W/")).any(|tag| tag == "*" || tag == etag) {
            return response.status(StatusCode::NOT_MODIFIED).finish();
        }
        if gzip {
            response = response.header(header::CONTENT_ENCODING, "gzip");
        }
        response
            .content_type(self.content_type)
            .header(header::CONTENT_SECURITY_POLICY, self.policy)
            .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
            .header(header::REFERRER_POLICY, "no-referrer")
            .body(if gzip { self.gzip.clone() } else { self.plain().into() })
    }
}

/// Whether `Accept-Encoding` has gzip, with another weight than zero (RFC 9110 §12.5.3).
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter();
    values.filter_map(|value| value.to_str().ok()).flat_map(|list| list.split(',')).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let weight = parts.find_map(|part| part.strip_prefix("q="));
        name.eq_ignore_ascii_case("gzip") && weight.is_none_or(|q| q.parse().is_ok_and(|q: f32| q > 0.0))
    })
}
