//! The pages about the contract, outside the document: the document itself, Swagger UI, and a page for each problem.
//!
//! What is large is compressed when the crate is built, the rest at its first request. Each page is held once, whoever reads
//! it and how slowly. Nothing on them comes from another host.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Read, Write as _};
use std::sync::{Arc, LazyLock, OnceLock};

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
use crate::http::code::ProblemCode;
use crate::http::error::Error;
use crate::http::public_url::PublicUrl;

/// The pages: routes without a place in the document.
pub(crate) struct Pages {
    /// Each with its path.
    pages: Vec<(&'static str, Arc<Lazy<Page>>)>,
    problems: Arc<Lazy<HashMap<&'static str, Page>>>,
}

/// What is made once, when it is first asked for.
type Lazy<T> = LazyLock<T, Box<dyn FnOnce() -> T + Send>>;

impl Pages {
    /// Of a server that the world finds there. Swagger UI's dialog for tokens ends with `advice`, in Markdown, on how to get
    /// one.
    pub(crate) fn new(advice: &'static str, public_url: &PublicUrl) -> Self {
        let start = lazy(public_url, move |public_url| start_script(advice, &public_url.prefix));
        let started = Arc::clone(&start);
        Self {
            pages: vec![
                ("/docs", lazy(public_url, move |public_url| swagger_ui(&started, &public_url.prefix))),
                ("/docs/start.js", start),
                ("/docs/reference", lazy(public_url, reference_page)),
                ("/openapi.json", lazy(public_url, document_json)),
                ("/openapi.yaml", lazy(public_url, document_yaml)),
                ("/problems", lazy(public_url, |public_url| problem_list(&public_url.prefix))),
            ],
            problems: lazy(public_url, problem_pages),
        }
    }
}

fn lazy<T>(public_url: &PublicUrl, make: impl FnOnce(&PublicUrl) -> T + Send + 'static) -> Arc<Lazy<T>> {
    let public_url = public_url.clone();
    Arc::new(LazyLock::new(Box::new(move || make(&public_url))))
}

impl OpenApi for Pages {
    fn meta() -> Vec<MetaApi> {
        Vec::new()
    }

    fn register(_: &mut Registry) {}

    fn add_routes(self, table: &mut HashMap<String, HashMap<Method, BoxEndpoint<'static>>>) {
        let mut add = |path: &str, endpoint: BoxEndpoint<'static>| {
            table.entry(path.to_owned()).or_default().insert(Method::GET, endpoint);
        };
        for (path, page) in self.pages {
            add(path, make_sync(move |request| page.answer(&request)).boxed());
        }
        add("/docs/swagger-ui.css", make_sync(|request| STYLE.answer(&request)).boxed());
        add("/docs/swagger-ui.js", make_sync(|request| SCRIPT.answer(&request)).boxed());
        add("/", make_sync(|_| to_docs()).boxed());
        add("/docs/", make_sync(|_| to_docs()).boxed());
        let problem = move |request: Request| {
            let code = request.raw_path_param("code").unwrap_or_default();
            let page = self.problems.get(code).map(|page| page.answer(&request));
            page.ok_or(Error::PathNotFound).map_err(poem::Error::from)
        };
        add("/problems/:code", make_sync(problem).boxed());
    }
}

/// A page, ready to be sent.
struct Page {
    content_type: &'static str,
    gzip: Bytes,
    /// For those who do not read gzip, made for the first of them.
    plain: OnceLock<Bytes>,
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

static STYLE: LazyLock<Page> =
    LazyLock::new(|| Page::compressed("text/css; charset=utf-8", built!("swagger-ui.css.gz"), UI_POLICY));
static SCRIPT: LazyLock<Page> =
    LazyLock::new(|| Page::compressed("text/javascript; charset=utf-8", built!("swagger-ui.js.gz"), UI_POLICY));

/// The committed document, which a test holds to be the derived one; where the server's address is known, with it.
fn document_json(public_url: &PublicUrl) -> Page {
    const JSON: &str = "application/json";
    match public_url.origin.as_str() {
        "" => Page::compressed(JSON, built!("openapi.json.gz"), TEXT_POLICY),
        _ => Page::new(JSON, openapi::json(&openapi::at(public_url)), TEXT_POLICY),
    }
}

fn document_yaml(public_url: &PublicUrl) -> Page {
    Page::new("application/yaml", openapi::yaml(&openapi::at(public_url)), TEXT_POLICY)
}

fn reference_page(public_url: &PublicUrl) -> Page {
    html("Reference", reference::STYLE, &reference::page(&openapi::at(public_url), public_url))
}

/// The index of the problems' pages.
fn problem_list(prefix: &str) -> Page {
    let mut rows = String::new();
    for code in ProblemCode::ALL {
        let (name, status, title) = (code.as_str(), code.status().as_u16(), code.title());
        // Writing to a String cannot fail.
        let _ = writeln!(
            rows,
            r#"<tr><td>{status}</td><td><a href="{prefix}/problems/{name}">{name}</a></td><td>{title}</td></tr>"#
        );
    }
    html(
        "Problems",
        "",
        &format!(
            "<table>\n<thead><tr><th>Status</th><th>Code</th><th>Title</th></tr></thead>\n<tbody>\n{rows}</tbody>\n</table>"
        ),
    )
}

/// A page for each problem, by its code.
fn problem_pages(public_url: &PublicUrl) -> HashMap<&'static str, Page> {
    let page = |code: &ProblemCode| {
        let (status, help) = (code.status(), code.help_at(public_url).replace('<', "&lt;").replace('>', "&gt;"));
        let body = format!(
            "<p><code>{}</code>, status {}</p>\n<p>{help}</p>\n<p><a href=\"{}/problems\">All problems</a></p>",
            code.as_str(),
            status.as_u16(),
            public_url.prefix,
        );
        (code.as_str(), html(code.title(), "", &body))
    };
    ProblemCode::ALL.iter().map(page).collect()
}

/// Starts Swagger UI. What the document says of the bearer scheme is the same everywhere; how to get a token depends on
/// the server's settings, and is added to it here.
fn start_script(advice: &str, prefix: &str) -> Page {
    let advice = Value::from(advice);
    let text = format!(
        "const advice = {advice};
const withAdvice = text => {{
  const document = JSON.parse(text);
  document.components.securitySchemes.bearer.description += '\\n\\n' + advice;
  return JSON.stringify(document);
}};
SwaggerUIBundle({{
  url: '{prefix}/openapi.json',
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
    Page::new("text/javascript; charset=utf-8", text, UI_POLICY)
}

fn swagger_ui(start: &Page, prefix: &str) -> Page {
    let (style, script, start) = (&STYLE.hash, &SCRIPT.hash, &start.hash);
    let text = format!(
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Tasks API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{prefix}/docs/swagger-ui.css?v={style}">
<script defer src="{prefix}/docs/swagger-ui.js?v={script}"></script>
<script defer src="{prefix}/docs/start.js?v={start}"></script>
</head>
<body>
<main id="ui"></main>
<noscript>Swagger UI needs JavaScript. The <a href="{prefix}/docs/reference">reference</a> does not, and the contract
itself is at <a href="{prefix}/openapi.json">{prefix}/openapi.json</a>.</noscript>
</body>
</html>
"#
    );
    Page::new(HTML, text, UI_POLICY)
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
    Page::new(HTML, text, TEXT_POLICY)
}

fn to_docs() -> Response {
    let redirect = Response::builder().status(StatusCode::PERMANENT_REDIRECT).header(header::LOCATION, "/docs");
    // Where it leads may change with the settings.
    redirect.header(header::CACHE_CONTROL, REVALIDATED).finish()
}

/// `Cache-Control` of what may be another one tomorrow.
const REVALIDATED: &str = "public, no-cache";

impl Page {
    fn new(content_type: &'static str, plain: String, policy: &'static str) -> Self {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        // Writing to a Vec cannot fail.
        let gzip = gzip.write_all(plain.as_bytes()).and_then(|()| gzip.finish()).unwrap_or_default();
        Self { plain: Bytes::from(plain).into(), ..Self::compressed(content_type, gzip.into(), policy) }
    }

    fn compressed(content_type: &'static str, gzip: Bytes, policy: &'static str) -> Self {
        let mut hasher = DefaultHasher::new();
        gzip.hash(&mut hasher);
        Self { content_type, gzip, plain: OnceLock::new(), hash: format!("{:016x}", hasher.finish()), policy }
    }

    /// The page for the few who do not read gzip.
    fn plain(&self) -> Bytes {
        let inflate = || {
            let mut plain = Vec::new();
            // What we compressed ourselves can be read.
            let _ = GzDecoder::new(&*self.gzip).read_to_end(&mut plain);
            plain.into()
        };
        self.plain.get_or_init(inflate).clone()
    }

    /// The page, compressed for whoever reads that; 304 for whoever has it.
    fn answer(&self, request: &Request) -> Response {
        let gzip = accepts_gzip(request.headers());
        let etag = format!("\"{}{}\"", self.hash, if gzip { "-gz" } else { "" });
        // A request that names the content's hash may keep the answer for good.
        let pinned = request.uri().query() == Some(&format!("v={}", self.hash));
        let caching = if pinned { "public, max-age=31536000, immutable" } else { REVALIDATED };
        // A 304 has the policy too: what it carries replaces what a cache has (RFC 9111 §3.2).
        let mut response = Response::builder()
            .header(header::ETAG, &etag)
            .header(header::VARY, "Accept-Encoding")
            .header(header::CACHE_CONTROL, caching)
            .header(header::CONTENT_SECURITY_POLICY, self.policy);
        let known = request.headers().get_all(header::IF_NONE_MATCH).iter();
        let known = known.filter_map(|value| value.to_str().ok()).flat_map(|list| list.split(','));
        if known.map(|tag| tag.trim().trim_start_matches("W/")).any(|tag| tag == "*" || tag == etag) {
            return response.status(StatusCode::NOT_MODIFIED).finish();
        }
        if gzip {
            response = response.header(header::CONTENT_ENCODING, "gzip");
        }
        response.content_type(self.content_type).body(if gzip { self.gzip.clone() } else { self.plain() })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_held_once_however_many_read_it() {
        for page in [&*SCRIPT, &Page::new(HTML, "<p>".repeat(1000), TEXT_POLICY)] {
            let (first, second) = (page.plain(), page.plain());
            assert!(first.len() > page.gzip.len());
            assert_eq!(first.as_ptr(), second.as_ptr());
            let copy = Page::compressed(page.content_type, page.gzip.clone(), page.policy);
            assert_eq!(copy.plain(), first);
        }
    }
}
