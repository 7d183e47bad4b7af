//! The reference: a request of each operation in four languages, and as the call of a tool, made from the document and its examples.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::document::tools::{Tool, definitions};
use crate::http::public_url::PublicUrl;

/// The languages, by the class of their samples and by name.
const LANGUAGES: [(&str, &str); 5] =
    [("curl", "curl"), ("typescript", "TypeScript"), ("rust", "Rust"), ("python", "Python"), ("agents", "Agents")];

/// What stands before the first sample of each language, at [`SERVER`].
const BEGINNINGS: [&str; 5] = [
    "export TASKS=https://tasks.example.com TOKEN=eyJ…",
    "// npm install openapi-fetch; npx openapi-typescript https://tasks.example.com/openapi.json -o tasks.d.ts\n\
     import createClient from \"openapi-fetch\";\n\
     import type { paths } from \"./tasks.js\";\n\n\
     const api = createClient<paths>({\n  baseUrl: \"https://tasks.example.com\",\n  headers: { Authorization: `Bearer ${token}` },\n});",
    "// reqwest with its feature json, and serde_json\n\
     use serde_json::json;\n\n\
     let (tasks, token) = (\"https://tasks.example.com\", \"eyJ…\");\n\
     let http = reqwest::Client::new();",
    "# pip install requests\n\
     import requests\n\n\
     TASKS, TOKEN = \"https://tasks.example.com\", \"eyJ…\"\n\
     api = requests.Session()\n\
     api.headers[\"Authorization\"] = f\"Bearer {TOKEN}\"",
    "{\n  \"mcpServers\": {\n    \"tasks\": {\n      \"type\": \"http\",\n      \"url\": \"https://tasks.example.com/mcp\",\n      \
     \"headers\": { \"Authorization\": \"Bearer eyJ…\" }\n    }\n  }\n}",
];

/// A server for the samples, where it is not known where the world finds it.
const SERVER: &str = "https://tasks.example.com";

/// Shows the samples of the chosen language alone.
pub(crate) const STYLE: &str = "\
fieldset { position: sticky; top: 0; display: flex; gap: 1.5rem; border: 0; border-bottom: 1px solid #c8ccd1; padding: .6rem 0; background: #fff; }
legend { position: absolute; left: -100rem; }
pre { overflow-x: auto; padding: .8rem 1rem; background: #f2f4f7; font-size: .85rem; line-height: 1.5; }
h2 { margin-top: 2.5rem; }
body:not(:has(#curl:checked)) .curl, body:not(:has(#typescript:checked)) .typescript,
body:not(:has(#rust:checked)) .rust, body:not(:has(#python:checked)) .python,
body:not(:has(#agents:checked)) .agents,
body:has(#agents:checked) .http { display: none; }
";

/// The page's text, in HTML.
pub(crate) fn page(document: &Value, public_url: &PublicUrl) -> String {
    let prefix = &public_url.prefix;
    let mut page = format!(
        "<p>A request of each operation. The whole contract is in <a href=\"{prefix}/docs\">Swagger UI</a> and in \
         <a href=\"{prefix}/openapi.json\">openapi.json</a>; <a href=\"{prefix}/problems\">problems</a> are explained. \
         Agents call five of the operations as tools, by the Model Context Protocol at <code>{prefix}/mcp</code>, where this server \
         has that on.</p>\n\
         <fieldset><legend>Language</legend>",
    );
    // Writing to a String cannot fail.
    for (place, (class, name)) in LANGUAGES.iter().enumerate() {
        let checked = if place == 0 { " checked" } else { "" };
        let _ = write!(page, "<label><input type=\"radio\" name=\"language\" id=\"{class}\"{checked}> {name}</label>");
    }
    page.push_str("</fieldset>\n");
    let server = if public_url.origin.is_empty() { SERVER.to_owned() } else { public_url.to_string() };
    samples(&mut page, BEGINNINGS.map(|text| text.replace(SERVER, &server)));
    let tools = definitions(false);
    let tools = tools.as_array().map(Vec::as_slice).unwrap_or_default();
    for (path, item) in document.get("paths").and_then(Value::as_object).into_iter().flatten() {
        for (method, operation) in item.as_object().into_iter().flatten() {
            let request = Request::new(method, path, operation);
            let (id, summary) = (text(operation, "operationId"), text(operation, "summary"));
            let name = Tool::of(id).map(Tool::name);
            let tool = tools.iter().find(|of| Some(text(of, "name")) == name);
            let class = if tool.is_none() { " class=\"http\"" } else { "" };
            let _ = write!(
                page,
                "<section{class}>\n<h2 id=\"{id}\">{summary}</h2>\n<div class=\"http\">\n<p><code>{id}</code>: <code>{} {}</code></p>\n",
                method.to_uppercase(),
                escape(path),
            );
            for paragraph in text(operation, "description").split("\n\n") {
                let _ = writeln!(page, "<p>{}</p>", markdown(paragraph));
            }
            page.push_str("</div>\n");
            if let Some(tool) = tool {
                let _ = writeln!(page, "<p class=\"agents\">{}</p>", escape(text(tool, "description")));
            }
            let call = name.map(|name| request.tool(name)).unwrap_or_default();
            samples(&mut page, [request.curl(), request.typescript(), request.rust(), request.python(), call]);
            if let Some(tool) = tool {
                arguments(&mut page, tool);
            }
            page.push_str("<table class=\"http\">\n<thead><tr><th>Status</th><th>Meaning</th></tr></thead>\n<tbody>\n");
            for (status, response) in operation.get("responses").and_then(Value::as_object).into_iter().flatten() {
                let meaning = markdown(text(response, "description"));
                let _ = writeln!(page, "<tr><td>{status}</td><td>{meaning}</td></tr>");
            }
            page.push_str("</tbody>\n</table>\n</section>\n");
        }
    }
    page
}

/// What a tool is called with.
fn arguments(page: &mut String, tool: &Value) {
    let required = tool.pointer("/inputSchema/required").and_then(Value::as_array);
    page.push_str("<table class=\"agents\">\n<thead><tr><th>Argument</th><th>Meaning</th></tr></thead>\n<tbody>\n");
    for (name, schema) in tool.pointer("/inputSchema/properties").and_then(Value::as_object).into_iter().flatten() {
        let must = if required.is_some_and(|names| names.iter().any(|of| of == name)) { ", required" } else { "" };
        let meaning = escape(text(schema, "description"));
        let _ = writeln!(page, "<tr><td><code>{name}</code>{must}</td><td>{meaning}</td></tr>");
    }
    page.push_str("</tbody>\n</table>\n");
}

/// One sample in each language that has one; focusable, as a long line scrolls.
fn samples(page: &mut String, samples: [String; 5]) {
    for ((class, _), sample) in LANGUAGES.iter().zip(samples).filter(|(_, sample)| !sample.is_empty()) {
        let _ = writeln!(page, "<pre class=\"{class}\" tabindex=\"0\"><code>{}</code></pre>", escape(&sample));
    }
}

/// A request of an operation.
struct Request<'a> {
    method: String,
    /// The path as the document has it.
    template: &'a str,
    /// The path and query of this request.
    path: String,
    query: Map<String, Value>,
    path_parameters: Map<String, Value>,
    headers: Vec<(&'a str, &'a str)>,
    body: Option<&'a Value>,
    is_secured: bool,
    has_answer: bool,
    /// Whether the answer is a text, and not JSON.
    is_text: bool,
}

impl<'a> Request<'a> {
    fn new(method: &str, template: &'a str, operation: &'a Value) -> Self {
        let parameters = || operation.get("parameters").and_then(Value::as_array).into_iter().flatten();
        let of = |place: &'static str| parameters().filter(move |parameter| text(parameter, "in") == place);
        let (mut path, mut path_parameters) = (template.to_owned(), Map::new());
        for parameter in of("path") {
            let example = parameter.get("example").or_else(|| parameter.get("schema")?.get("examples")?.get(0));
            let (name, example) = (text(parameter, "name"), example.cloned().unwrap_or_default());
            path = path.replace(&format!("{{{name}}}"), example.as_str().unwrap_or_default());
            path_parameters.insert(name.to_owned(), example);
        }
        let query: Map<_, _> = of("query")
            .filter_map(|parameter| query(text(parameter, "name")))
            .map(|(n, v)| (n.to_owned(), v))
            .collect();
        for (place, (name, value)) in query.iter().enumerate() {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let _ = write!(path, "{}{name}={value}", if place == 0 { '?' } else { '&' });
        }
        let content = operation.get("requestBody").and_then(|body| body.get("content")?.get("application/json"));
        let examples = content.and_then(|content| content.get("examples")?.as_object());
        Self {
            method: method.to_owned(),
            template,
            path,
            query,
            path_parameters,
            headers: of("header").filter_map(|parameter| header(text(parameter, "name"))).collect(),
            body: examples.and_then(|examples| examples.values().next()?.get("value")),
            is_secured: operation.get("security").and_then(Value::as_array).is_some_and(|all| !all.is_empty()),
            has_answer: operation.get("responses").is_some_and(|responses| responses.get("204").is_none()),
            is_text: operation.pointer("/responses/200/content").is_some_and(|of| of.get("application/json").is_none()),
        }
    }

    fn curl(&self) -> String {
        let mut sample = format!("curl -X {} \"$TASKS{}\"", self.method.to_uppercase(), self.path);
        if self.is_secured {
            sample.push_str(" \\\n  -H \"Authorization: Bearer $TOKEN\"");
        }
        for (name, value) in &self.headers {
            let _ = write!(sample, " \\\n  -H '{name}: {value}'");
        }
        if let Some(body) = self.body {
            let body = body.to_string().replace('\'', r"'\''");
            let _ = write!(sample, " \\\n  -H 'Content-Type: application/json' \\\n  -d '{body}'");
        }
        sample
    }

    fn typescript(&self) -> String {
        let headers = self.headers.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect();
        let params = [("path", &self.path_parameters), ("query", &self.query), ("header", &headers)];
        let params = params.into_iter().filter(|(_, members)| !members.is_empty());
        let params: Map<_, _> = params.map(|(n, members)| (n.to_owned(), Value::Object(members.clone()))).collect();
        let mut options = String::new();
        if !params.is_empty() {
            let _ = writeln!(options, "  params: {},", in_typescript(&params.into()));
        }
        if let Some(body) = self.body {
            let _ = writeln!(options, "  body: {},", in_typescript(body));
        }
        if self.is_text {
            options.push_str("  parseAs: \"text\",\n");
        }
        let options = if options.is_empty() { options } else { format!(", {{\n{options}}}") };
        format!(
            "const {{ {}error }} = await api.{}(\"{}\"{options});\nif (error) throw new Error(`${{error.code}}: ${{error.detail}}`);",
            if self.has_answer { "data, " } else { "" },
            self.method.to_uppercase(),
            self.template,
        )
    }

    fn rust(&self) -> String {
        let mut sample = format!("let answer = http\n    .{}(format!(\"{{tasks}}{}\"))\n", self.method, self.path);
        if self.is_secured {
            sample.push_str("    .bearer_auth(token)\n");
        }
        for (name, value) in &self.headers {
            let _ = writeln!(sample, "    .header(\"{name}\", {value:?})");
        }
        if let Some(body) = self.body {
            let _ = writeln!(sample, "    .json(&json!({body}))");
        }
        sample + "    .send()\n    .await?\n    .error_for_status()?;"
    }

    fn python(&self) -> String {
        let mut sample = format!("answer = api.{}(\n    f\"{{TASKS}}{}\",\n", self.method, self.path);
        if !self.headers.is_empty() {
            let headers: Vec<_> = self.headers.iter().map(|(name, value)| format!("\"{name}\": {value:?}")).collect();
            let _ = writeln!(sample, "    headers={{{}}},", headers.join(", "));
        }
        if let Some(body) = self.body {
            let _ = writeln!(sample, "    json={},", in_python(body));
        }
        sample + ")\nanswer.raise_for_status()"
    }

    /// The params of `tools/call`.
    fn tool(&self, name: &str) -> String {
        let mut arguments = self.path_parameters.clone();
        arguments.shift_remove("user_id");
        arguments.extend(self.query.clone());
        arguments.extend(self.body.and_then(Value::as_object).cloned().unwrap_or_default());
        arguments.extend(
            self.headers.iter().filter_map(|(name, value)| argument(name, value)).map(|(n, v)| (n.to_owned(), v)),
        );
        let call = json!({ "name": name, "arguments": arguments });
        serde_json::to_string_pretty(&call).unwrap_or_default()
    }
}

/// The argument of a tool for a header, and what it holds.
fn argument(name: &str, value: &str) -> Option<(&'static str, Value)> {
    match name {
        "Idempotency-Key" => Some(("idempotency_key", value.into())),
        "If-Match" => Some(("version", value.trim_matches('"').parse::<i64>().ok()?.into())),
        _ => None,
    }
}

/// What a sample sends in a query parameter; nothing where the default is as good.
fn query(name: &str) -> Option<(&str, Value)> {
    match name {
        "limit" => Some((name, 10.into())),
        "is_completed" => Some((name, false.into())),
        "wait" => Some((name, 25.into())),
        "confirm" => Some((name, "all-tasks".into())),
        _ => None,
    }
}

/// What a sample sends in a header: parameters have no examples, which Swagger UI would send with every request.
fn header(name: &str) -> Option<(&str, &'static str)> {
    match name {
        "Idempotency-Key" => Some((name, "8e03978e-40d5-43e8-bc93-6894a57f9324")),
        "If-Match" => Some((name, "\"1\"")),
        _ => None,
    }
}

fn in_typescript(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let is_name = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            let members = members.iter().map(|(name, value)| {
                let name = if is_name(name) { name.clone() } else { format!("\"{name}\"") };
                format!("{name}: {}", in_typescript(value))
            });
            let members: Vec<_> = members.collect();
            if members.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", members.join(", ")) }
        }
        Value::Array(values) => format!("[{}]", values.iter().map(in_typescript).collect::<Vec<_>>().join(", ")),
        value => value.to_string(),
    }
}

fn in_python(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let members: Vec<_> =
                members.iter().map(|(name, value)| format!("\"{name}\": {}", in_python(value))).collect();
            format!("{{{}}}", members.join(", "))
        }
        Value::Array(values) => format!("[{}]", values.iter().map(in_python).collect::<Vec<_>>().join(", ")),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Null => "None".to_owned(),
        value => value.to_string(),
    }
}

/// The text of a member, empty where there is none.
fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value.get(member).and_then(Value::as_str).unwrap_or_default()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Text with code between backticks, which is all of Markdown that the document's descriptions use.
fn markdown(text: &str) -> String {
    let pieces = text.split('`').enumerate().map(|(place, piece)| {
        let piece = escape(piece);
        if place % 2 == 1 { format!("<code>{piece}</code>") } else { piece }
    });
    pieces.collect()
}
