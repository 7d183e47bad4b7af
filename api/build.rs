//! Compresses, once for all, what the pages serve as it is: the committed document and Swagger UI's style and script.

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::{env, fs};

use flate2::Compression;
use flate2::write::GzEncoder;
use poem_openapi::OpenApiService;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=openapi.json");
    let folder = env::var("OUT_DIR")?;
    let write = |name: &str, plain: &[u8]| -> Result<(), Box<dyn Error>> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(plain)?;
        Ok(fs::write(Path::new(&folder).join(name), gzip.finish()?)?)
    };
    write("openapi.json.gz", &fs::read("openapi.json")?)?;
    // poem-openapi ships Swagger UI as one page with its style and script inside, of which a strict policy would need
    // the hashes and a cache would keep nothing.
    let page = OpenApiService::new((), "", "").swagger_ui_html();
    write("swagger-ui.css.gz", element(&page, "style", ".swagger-ui")?.as_bytes())?;
    write("swagger-ui.js.gz", element(&page, "script", "SwaggerUIBundle")?.as_bytes())
}

/// What stands in the first element of this name that says its character set, as those of the bundle do.
fn element<'a>(page: &'a str, name: &str, content: &str) -> Result<&'a str, String> {
    let (start, end) = (format!("<{name} charset=\"UTF-8\">"), format!("</{name}>"));
    let inside = page.split_once(&start).and_then(|(_, rest)| rest.split_once(&end));
    let inside = inside.map(|(inside, _)| inside).filter(|inside| inside.contains(content));
    inside.ok_or(format!("poem-openapi's Swagger UI has no <{name}> with {content}"))
}
