//! Three services whose types poem-openapi describes in ways that OpenAPI 3.1 does not know, and their documents, one a line:
//! enums and unions, files, references that may be null.
#![allow(clippy::unused_async, reason = "poem-openapi wants operations to be async")]

use poem_openapi::payload::{Attachment, Binary, Json};
use poem_openapi::types::Base64;
use poem_openapi::types::multipart::Upload;
use poem_openapi::{ApiResponse, Enum, Multipart, Object, OpenApi, OpenApiService, Union};
use serde_json::Value;

/// What a robot is doing.
#[derive(Debug, Enum)]
#[oai(rename_all = "snake_case")]
enum Mood {
    Idle,
    OnItsWay,
}

#[derive(Debug, Object)]
struct Walk {
    /// How far, in metres.
    #[oai(validator(minimum(value = "0", exclusive), maximum(value = "100")))]
    distance: f64,
}

#[derive(Debug, Object)]
struct Say {
    words: [String; 2],
    initial: char,
}

#[derive(Debug, Union)]
#[oai(discriminator_name = "kind")]
enum Order {
    Walk(Walk),
    Say(Say),
}

#[derive(Debug, Union)]
enum IdOrName {
    Id(std::num::NonZero<i64>),
    Name(String),
}

struct Robots;

#[OpenApi]
impl Robots {
    /// Tell a robot what to do.
    #[oai(path = "/orders", method = "post")]
    async fn order(&self, order: Json<Order>) -> Json<Mood> {
        match order.0 {
            Order::Walk(_) => Json(Mood::OnItsWay),
            Order::Say(_) => Json(Mood::Idle),
        }
    }

    /// What a robot is called.
    #[oai(path = "/names", method = "get")]
    async fn name(&self) -> Json<IdOrName> {
        Json(IdOrName::Name("Marvin".to_owned()))
    }
}

#[derive(Debug, Multipart)]
struct Picture {
    /// What it shows.
    caption: Option<String>,
    file: Upload,
}

#[derive(ApiResponse)]
enum Stored {
    /// It is stored.
    #[oai(status = 201)]
    Created(#[oai(header = "Location")] String, #[oai(header = "X-SIZE")] u32),
    /// It is too large.
    #[oai(status = 413)]
    TooLarge,
}

struct Pictures;

#[OpenApi]
impl Pictures {
    /// Store a picture.
    #[oai(path = "/pictures", method = "post")]
    async fn store(&self, picture: Picture) -> Stored {
        match picture.caption {
            Some(caption) if picture.file.size() < 1024 => Stored::Created(format!("/pictures/{caption}"), 1),
            _ => Stored::TooLarge,
        }
    }

    /// A picture.
    #[oai(path = "/pictures/:id", method = "get")]
    async fn picture(&self, id: poem_openapi::param::Path<u64>) -> Attachment<Vec<u8>> {
        Attachment::new(vec![0; usize::try_from(id.0 % 8).unwrap_or_default()])
    }

    /// The same, as it is.
    #[oai(path = "/pictures/:id/raw", method = "get")]
    async fn raw(&self, id: poem_openapi::param::Path<u64>) -> Binary<Vec<u8>> {
        Binary(vec![0; usize::try_from(id.0 % 8).unwrap_or_default()])
    }
}

#[derive(Debug, Object)]
struct Address {
    street: String,
    #[oai(nullable)]
    postcode: Option<u32>,
}

/// Someone who reads.
#[derive(Debug, Object)]
struct Reader {
    name: String,
    /// Where the reader lives.
    #[oai(nullable)]
    home: Option<Address>,
    /// What the reader does when nobody looks.
    #[oai(nullable)]
    mood: Option<Mood>,
    /// Who vouches for the reader.
    friend: Option<Box<Reader>>,
    /// A fingerprint.
    seal: Base64<Vec<u8>>,
}

struct Readers;

#[OpenApi]
impl Readers {
    /// Change a reader.
    #[oai(path = "/readers/:name", method = "put")]
    async fn change(&self, name: poem_openapi::param::Path<String>, reader: Json<Reader>) -> Json<Reader> {
        let _ = name;
        reader
    }
}

/// The documents, each under the name of its service.
#[must_use]
pub fn documents() -> [(&'static str, Value); 3] {
    [
        ("robots", poem_openapi_31::document(&OpenApiService::new(Robots, "Robots", "1.0").server("http://localhost"))),
        ("pictures", poem_openapi_31::document(&OpenApiService::new(Pictures, "Pictures", "1.0"))),
        ("readers", poem_openapi_31::document(&OpenApiService::new(Readers, "Readers", "1.0"))),
    ]
}

#[allow(dead_code, reason = "the tests take the documents alone")]
fn main() {
    for (_, document) in documents() {
        println!("{document}");
    }
}
