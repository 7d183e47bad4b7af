//! Compresses, once for all, what the pages serve as it is: the committed document and Swagger UI's style and script.

use std::error::Error;
use std::io::{Cursor, Read, Write};
use std::path::Path;
use std::{env, fs};

use flate2::Compression;
use flate2::write::GzEncoder;
use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;
use zip::ZipArchive;

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
    write("swagger-ui.css.gz", &swagger_ui("swagger-ui.css")?)?;
    write("swagger-ui.js.gz", &swagger_ui("swagger-ui-bundle.js")?)
}

/// A file of Swagger UI, without its last line where that names a source map, which is not served.
fn swagger_ui(name: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut archive = ZipArchive::new(Cursor::new(SWAGGER_UI_VENDORED))?;
    let paths = archive.file_names().filter_map(Result::ok);
    let path = paths.map(String::from).find(|path| path.ends_with(&format!("/dist/{name}")));
    let mut text = String::new();
    archive.by_name(&path.ok_or(format!("Swagger UI's archive has no {name}"))?)?.read_to_string(&mut text)?;
    let maps = ["//# sourceMappingURL=", "/*# sourceMappingURL="];
    let end =
        maps.iter().filter_map(|map| text.rfind(map)).max().filter(|start| !text[*start..].trim_end().contains('\n'));
    text.truncate(end.unwrap_or(text.len()));
    Ok(text.into_bytes())
}
