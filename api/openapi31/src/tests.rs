//! Each shape by itself, and a service with all of them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails may panic")]
#![allow(clippy::needless_pass_by_value, reason = "the arguments are literals, and a borrow of each only adds a sign")]
#![allow(clippy::unused_async, reason = "poem-openapi wants operations to be async")]

use poem_openapi::param::{Path, Query};
use poem_openapi::payload::{Binary, Json};
use poem_openapi::{ApiResponse, Enum, NewType, Object, OpenApi, OpenApiService, Union};
use serde_json::{Value, json};

use crate::upgrade;

/// Upgrades a document, and makes sure that the result is a fixed point, down to the order of the members.
fn document(document: Value) -> Value {
    let upgraded = upgrade(document);
    assert_eq!(upgrade(upgraded.clone()).to_string(), upgraded.to_string());
    upgraded
}

fn component(schema: Value) -> Value {
    document(json!({"components": {"schemas": {"S": schema}}}))["components"]["schemas"]["S"].take()
}

fn operation(operation: Value) -> Value {
    document(json!({"paths": {"/": {"post": operation}}}))["paths"]["/"]["post"].take()
}

fn parameter(parameter: Value) -> Value {
    operation(json!({"parameters": [parameter]}))["parameters"][0].take()
}

fn response(response: Value) -> Value {
    operation(json!({"responses": {"200": response}}))["responses"]["200"].take()
}

fn header(header: Value) -> Value {
    response(json!({"headers": {"Age": header}}))["headers"]["Age"].take()
}

fn body_schema(media_type: &str, schema: Value) -> Value {
    response(json!({"content": {media_type: {"schema": schema}}}))["content"][media_type]["schema"].take()
}

fn security_scheme(scheme: Value) -> Value {
    document(json!({"components": {"securitySchemes": {"S": scheme}}}))["components"]["securitySchemes"]["S"].take()
}

#[test]
fn root() {
    assert_eq!(
        document(json!({"openapi": "3.0.0", "servers": [], "tags": [], "paths": {}})),
        json!({"openapi": "3.1.0", "paths": {}})
    );
    let full = json!({"openapi": "3.1.0", "servers": [{"url": "/"}], "tags": [{"name": "t"}]});
    assert_eq!(document(full.clone()), full);
}

#[test]
fn unexpected_shapes_stay() {
    for value in [json!(null), json!([1]), json!("text")] {
        assert_eq!(document(value.clone()), value);
    }
    let askew = json!({
        "openapi": "3.1.0", "info": [], "paths": {"/": {"get": 1, "put": {"parameters": {}, "responses": [1]}}},
        "components": {"schemas": {"A": 1, "B": {"properties": [], "items": 2, "allOf": [3], "$ref": 4}}},
    });
    assert_eq!(document(askew.clone()), askew);
}

#[test]
fn license() {
    assert_eq!(
        document(json!({"info": {"license": {"name": "MIT", "identifier": "MIT", "url": "https://mit.example"}}}))["info"]
            ["license"],
        json!({"name": "MIT", "identifier": "MIT"})
    );
    assert_eq!(
        document(json!({"info": {"license": {"name": "MIT", "url": "https://mit.example"}}}))["info"]["license"],
        json!({"name": "MIT", "url": "https://mit.example"})
    );
}

#[test]
fn nullable_type() {
    assert_eq!(
        component(json!({"type": "string", "format": "uuid", "nullable": true})),
        json!({"type": ["string", "null"], "format": "uuid"})
    );
    assert_eq!(component(json!({"type": "string", "nullable": false})), json!({"type": "string"}));
    assert_eq!(component(json!({"nullable": true})), json!({}));
}

#[test]
fn nullable_enum() {
    assert_eq!(
        component(json!({"type": "string", "enum": ["a", "b"], "nullable": true})),
        json!({"type": ["string", "null"], "enum": ["a", "b", null]})
    );
    assert_eq!(component(json!({"enum": ["a", null], "nullable": true})), json!({"enum": ["a", null]}));
}

#[test]
fn nullable_composition() {
    assert_eq!(
        component(json!({
            "title": "t", "description": "d", "default": null, "readOnly": true, "nullable": true,
            "oneOf": [{"type": "string"}, {"type": "integer"}], "example": 1,
        })),
        json!({
            "title": "t", "description": "d", "default": null, "readOnly": true, "examples": [1],
            "anyOf": [{"oneOf": [{"type": "string"}, {"type": "integer"}]}, {"type": "null"}],
        })
    );
}

#[test]
fn nullable_reference() {
    let siblings = json!({"description": "d", "nullable": true});
    assert_eq!(
        component(json!({
            "description": "d", "nullable": true, "allOf": [{"$ref": "#/components/schemas/T"}, siblings],
        })),
        json!({"description": "d", "anyOf": [{"$ref": "#/components/schemas/T"}, {"type": "null"}]})
    );
    assert_eq!(
        component(json!({"$ref": "#/components/schemas/T", "nullable": true})),
        json!({"anyOf": [{"$ref": "#/components/schemas/T"}, {"type": "null"}]})
    );
}

#[test]
fn reference_with_siblings() {
    let siblings = json!({"description": "d", "default": "a", "deprecated": true});
    assert_eq!(
        component(json!({
            "description": "d", "default": "a", "deprecated": true,
            "allOf": [{"$ref": "#/components/schemas/T"}, siblings],
        })),
        json!({"$ref": "#/components/schemas/T", "description": "d", "default": "a", "deprecated": true})
    );
    assert_eq!(
        component(json!({"allOf": [{"$ref": "#/components/schemas/T"}], "title": "t"})),
        json!({"$ref": "#/components/schemas/T", "title": "t"})
    );
}

#[test]
fn reference_merged_twice() {
    assert_eq!(
        component(json!({
            "title": "t", "description": "of the field",
            "allOf": [{"$ref": "#/components/schemas/T"}, {"title": "t", "description": "of the type"}],
        })),
        json!({"$ref": "#/components/schemas/T", "title": "t", "description": "of the field"})
    );
}

#[test]
fn real_conjunction() {
    let schemas = [
        json!({"allOf": [{"$ref": "#/components/schemas/T"}, {"minLength": 1}], "minLength": 2}),
        json!({"allOf": [{"$ref": "#/components/schemas/T"}, {"type": "object"}]}),
        json!({"allOf": [{"type": "object"}, {"$ref": "#/components/schemas/T"}]}),
    ];
    for schema in schemas {
        assert_eq!(component(schema.clone()), schema);
    }
}

#[test]
fn exclusive_bounds() {
    assert_eq!(
        component(json!({
            "type": "number", "maximum": 1.5, "exclusiveMaximum": true, "minimum": 0.5, "exclusiveMinimum": false,
        })),
        json!({"type": "number", "exclusiveMaximum": 1.5, "minimum": 0.5})
    );
    assert_eq!(component(json!({"type": "number", "exclusiveMinimum": true})), json!({"type": "number"}));
}

#[test]
fn integer_bounds() {
    let bounded = component(json!({
        "type": "integer", "minimum": -1.0, "maximum": 4_294_967_295.0, "multipleOf": 1.5, "nullable": true,
    }));
    // Compared as text, for 1.0 and 1 must differ.
    assert_eq!(
        bounded.to_string(),
        r#"{"type":["integer","null"],"minimum":-1,"maximum":4294967295,"multipleOf":1.5}"#
    );
    let exclusive = component(json!({"type": "integer", "minimum": 0.0, "exclusiveMinimum": true}));
    assert_eq!(exclusive.to_string(), r#"{"type":"integer","exclusiveMinimum":0}"#);
    let number = component(json!({"type": "number", "minimum": 1.0}));
    assert_eq!(number.to_string(), r#"{"type":"number","minimum":1.0}"#);
}

#[test]
fn schema_example() {
    assert_eq!(
        component(json!({"type": "array", "items": {"type": "string", "example": "a"}, "example": ["a"]})),
        json!({"type": "array", "items": {"type": "string", "examples": ["a"]}, "examples": [["a"]]})
    );
}

#[test]
fn parameter_example() {
    assert_eq!(
        parameter(json!({"name": "p", "in": "query", "schema": {"type": "string", "example": "a"}})),
        json!({"name": "p", "in": "query", "schema": {"type": "string"}, "example": "a"})
    );
    let siblings = json!({"example": "a"});
    assert_eq!(
        parameter(json!({
            "name": "p", "in": "query",
            "schema": {"example": "a", "allOf": [{"$ref": "#/components/schemas/T"}, siblings]},
        })),
        json!({"name": "p", "in": "query", "schema": {"$ref": "#/components/schemas/T"}, "example": "a"})
    );
    assert_eq!(
        parameter(json!({"name": "p", "in": "query", "schema": {"example": "a"}, "example": "b"})),
        json!({"name": "p", "in": "query", "schema": {"examples": ["a"]}, "example": "b"})
    );
}

#[test]
fn header_example() {
    assert_eq!(
        header(json!({"schema": {"type": "integer", "example": 1}})),
        json!({"schema": {"type": "integer"}, "example": 1})
    );
}

#[test]
fn media_type_names() {
    assert_eq!(
        response(json!({"content": {
            "application/json; charset=utf-8": {"schema": {}},
            "text/plain;charset=UTF-8; format=flowed": {"schema": {}},
            "multipart/form-data; boundary=x": {"schema": {}},
        }})),
        json!({"content": {
            "application/json": {"schema": {}},
            "text/plain; format=flowed": {"schema": {}},
            "multipart/form-data; boundary=x": {"schema": {}},
        }})
    );
    let both = json!({"content": {
        "text/plain; charset=utf-8": {"schema": {"type": "string"}},
        "text/plain": {"schema": {"type": "integer"}},
    }});
    assert_eq!(response(both.clone()), both);
}

#[test]
fn header_names() {
    let cases = [
        ("WWW-AUTHENTICATE", "WWW-Authenticate"),
        ("X-REQUEST-ID", "X-Request-Id"),
        ("ETAG", "ETag"),
        ("etag", "ETag"),
        ("last-modified", "Last-Modified"),
        ("LOCATION", "Location"),
        ("RETRY-AFTER", "Retry-After"),
        ("CONTENT-TYPE", "Content-Type"),
        ("CONTENT-MD5", "Content-MD5"),
        ("TE", "TE"),
        ("DNT", "DNT"),
        ("X-XSS-PROTECTION", "X-XSS-Protection"),
        ("SEC-WEBSOCKET-ACCEPT", "Sec-WebSocket-Accept"),
        ("RATELIMIT-POLICY", "RateLimit-Policy"),
        ("X-GitHub-Event", "X-GitHub-Event"),
    ];
    for (old, new) in cases {
        assert_eq!(response(json!({"headers": {old: {"schema": {}}}})), json!({"headers": {new: {"schema": {}}}}));
        assert_eq!(parameter(json!({"name": old, "in": "header"}))["name"], new);
        assert_eq!(parameter(json!({"name": old, "in": "query"}))["name"], old);
    }
}

#[test]
fn binary_body() {
    assert_eq!(
        body_schema("image/png", json!({"type": "string", "format": "binary", "description": "d"})),
        json!({"description": "d"})
    );
}

#[test]
fn binary_part() {
    assert_eq!(
        body_schema(
            "multipart/form-data",
            json!({"type": "object", "properties": {"f": {"type": "string", "format": "binary"}}})
        ),
        json!({
            "type": "object",
            "properties": {"f": {"type": "string", "contentMediaType": "application/octet-stream"}},
        })
    );
}

#[test]
fn base64() {
    for format in ["byte", "bytes", "base64"] {
        assert_eq!(
            component(json!({"type": "string", "format": format})),
            json!({"type": "string", "contentEncoding": "base64"})
        );
    }
    assert_eq!(
        body_schema("text/plain", json!({"type": "bytes", "format": "string"})),
        json!({"type": "string", "contentEncoding": "base64"})
    );
}

#[test]
fn type_never() {
    assert_eq!(
        component(json!({"type": "object", "additionalProperties": {"type": "never"}})),
        json!({"type": "object", "additionalProperties": false})
    );
    assert_eq!(component(json!({"type": "never"})), json!(false));
}

#[test]
fn type_char() {
    assert_eq!(
        component(json!({"type": "char", "nullable": true})),
        json!({"type": ["string", "null"], "minLength": 1, "maxLength": 1})
    );
}

#[test]
fn type_non_zero_integer() {
    assert_eq!(
        component(json!({"type": "non_zero_integer", "format": "int32"})),
        json!({"type": "integer", "format": "int32", "not": {"const": 0}})
    );
    assert_eq!(
        component(json!({
            "type": "non_zero_integer", "format": "uint32", "minimum": 0.0, "exclusiveMinimum": true,
        })),
        json!({"type": "integer", "format": "uint32", "exclusiveMinimum": 0})
    );
}

#[test]
fn fixed_array() {
    assert_eq!(
        component(json!({"type": "array", "items": {"type": "string"}, "maxLength": 2, "minLength": 2})),
        json!({"type": "array", "items": {"type": "string"}, "maxItems": 2, "minItems": 2})
    );
    assert_eq!(
        component(json!({"type": "array", "items": {}, "maxLength": 2, "maxItems": 1})),
        json!({"type": "array", "items": {}, "maxItems": 1})
    );
}

#[test]
fn untagged_union() {
    assert_eq!(
        component(json!({
            "type": "object", "description": "d",
            "anyOf": [{"type": "integer"}, {"$ref": "#/components/schemas/T"}],
        })),
        json!({"description": "d", "anyOf": [{"type": "integer"}, {"$ref": "#/components/schemas/T"}]})
    );
    let objects = [
        json!({
            "type": "object", "oneOf": [{"$ref": "#/components/schemas/T"}],
            "discriminator": {"propertyName": "p"},
        }),
        json!({"type": "object", "oneOf": [{"required": ["a"]}, {"required": ["b"]}]}),
        json!({"type": "object", "properties": {}, "anyOf": [{"$ref": "#/components/schemas/T"}]}),
    ];
    for schema in objects {
        assert_eq!(component(schema.clone()), schema);
    }
}

#[test]
fn component_names() {
    assert_eq!(
        document(json!({"components": {"schemas": {
            "Page_integer(uint64)": {"type": "object"},
            "Größe": {"type": "object"},
            "T": {
                "oneOf": [{"$ref": "#/components/schemas/Page_integer(uint64)"}],
                "discriminator": {
                    "propertyName": "p", "mapping": {"a(b)": "#/components/schemas/Page_integer(uint64)"},
                },
            },
        }}}))["components"]["schemas"],
        json!({
            "Page_integer_uint64": {"type": "object"},
            "Gr_f6_dfe": {"type": "object"},
            "T": {
                "oneOf": [{"$ref": "#/components/schemas/Page_integer_uint64"}],
                "discriminator": {
                    "propertyName": "p", "mapping": {"a(b)": "#/components/schemas/Page_integer_uint64"},
                },
            },
        })
    );
}

#[test]
fn parameter_defaults() {
    assert_eq!(
        parameter(json!({
            "name": "p", "in": "query", "schema": {"type": "array"}, "required": false, "deprecated": false,
            "explode": true, "style": "form",
        })),
        json!({"name": "p", "in": "query", "schema": {"type": "array"}})
    );
    assert_eq!(
        parameter(json!({
            "name": "p", "in": "cookie", "schema": {}, "required": true, "deprecated": true, "explode": false,
        })),
        json!({"name": "p", "in": "cookie", "schema": {}, "required": true, "deprecated": true, "explode": false})
    );
    assert_eq!(
        parameter(json!({"name": "p", "in": "query", "schema": {}, "explode": true, "style": "deepObject"})),
        json!({"name": "p", "in": "query", "schema": {}, "explode": true, "style": "deepObject"})
    );
    assert_eq!(
        parameter(json!({"name": "P", "in": "header", "schema": {"type": "array"}, "explode": true})),
        json!({"name": "P", "in": "header", "schema": {"type": "array"}, "explode": true})
    );
    assert_eq!(
        parameter(json!({"name": "P", "in": "header", "schema": {"type": "string"}, "explode": true})),
        json!({"name": "P", "in": "header", "schema": {"type": "string"}})
    );
}

#[test]
fn explode_of_a_referenced_scalar() {
    let mut upgraded = document(json!({
        "paths": {"/{a}/{b}": {"get": {"parameters": [
            {"name": "a", "in": "path", "schema": {"$ref": "#/components/schemas/A"}, "explode": true},
            {"name": "b", "in": "path", "schema": {"$ref": "#/components/schemas/B"}, "explode": true},
        ]}}},
        "components": {"schemas": {"A": {"type": "string", "nullable": true}, "B": {"type": "object"}}},
    }));
    assert_eq!(
        upgraded["paths"]["/{a}/{b}"]["get"]["parameters"].take(),
        json!([
            {"name": "a", "in": "path", "required": true, "schema": {"$ref": "#/components/schemas/A"}},
            {
                "name": "b", "in": "path", "required": true, "schema": {"$ref": "#/components/schemas/B"},
                "explode": true,
            },
        ])
    );
}

#[test]
fn path_parameter() {
    assert_eq!(
        parameter(json!({"name": "p", "in": "path", "schema": {}, "required": false})),
        json!({"name": "p", "in": "path", "schema": {}, "required": true})
    );
}

#[test]
fn header_defaults() {
    assert_eq!(
        header(json!({"required": false, "deprecated": false, "schema": {"type": "string"}})),
        json!({"schema": {"type": "string"}})
    );
    assert_eq!(
        header(json!({"required": true, "deprecated": true, "schema": {}})),
        json!({"required": true, "deprecated": true, "schema": {}})
    );
}

#[test]
fn operation_defaults() {
    assert_eq!(
        operation(json!({
            "deprecated": false, "responses": {},
            "requestBody": {"content": {"text/plain": {"schema": {"type": "char"}}}, "required": false},
        })),
        json!({"requestBody": {"content": {
            "text/plain": {"schema": {"type": "string", "minLength": 1, "maxLength": 1}},
        }}})
    );
}

#[test]
fn empty_response() {
    assert_eq!(response(json!({"description": "", "headers": {}, "content": {}})), json!({"description": ""}));
}

#[test]
fn connect() {
    assert_eq!(document(json!({"paths": {"/": {"connect": {}, "get": {}}}}))["paths"], json!({"/": {"get": {}}}));
}

#[test]
fn webhooks() {
    assert_eq!(
        document(json!({"webhooks": {"w": {"post": {"deprecated": false, "responses": {"200": {
            "content": {"text/plain": {"schema": {"type": "string", "nullable": true}}},
        }}}}}}))["webhooks"],
        json!({"w": {"post": {"responses": {"200": {
            "content": {"text/plain": {"schema": {"type": ["string", "null"]}}},
        }}}}})
    );
}

#[test]
fn http_scheme() {
    assert_eq!(
        security_scheme(json!({"type": "http", "scheme": "basic", "bearerFormat": "JWT"})),
        json!({"type": "http", "scheme": "basic"})
    );
    let bearer = json!({"type": "http", "scheme": "bearer", "bearerFormat": "JWT"});
    assert_eq!(security_scheme(bearer.clone()), bearer);
}

#[test]
fn oauth2_scheme() {
    let urls = json!({"authorizationUrl": "/a", "tokenUrl": "/t"});
    assert_eq!(
        security_scheme(json!({"type": "oauth2", "flows": {
            "implicit": urls, "password": urls, "clientCredentials": urls, "authorizationCode": urls,
        }})),
        json!({"type": "oauth2", "flows": {
            "implicit": {"authorizationUrl": "/a", "scopes": {}},
            "password": {"tokenUrl": "/t", "scopes": {}},
            "clientCredentials": {"tokenUrl": "/t", "scopes": {}},
            "authorizationCode": {"authorizationUrl": "/a", "tokenUrl": "/t", "scopes": {}},
        }})
    );
    let scoped = json!({"type": "oauth2", "flows": {
        "password": {"tokenUrl": "/t", "scopes": {"read": "Reads."}},
    }});
    assert_eq!(security_scheme(scoped.clone()), scoped);
}

#[test]
fn properties_named_like_keywords() {
    let schema = json!({
        "type": "object",
        "required": ["nullable"],
        "properties": {
            "nullable": {"type": "boolean"},
            "example": {"type": "string"},
            "exclusiveMinimum": {"type": "boolean"},
            "allOf": {"type": "array", "items": {}},
            "$ref": {"type": "string"},
            "properties": {"type": "object", "properties": {"type": {"type": "string"}}},
        },
    });
    assert_eq!(component(schema.clone()), schema);
}

#[test]
fn data_like_schemas() {
    let data = json!({
        "type": "never", "nullable": true, "example": 1, "$ref": "#/components/schemas/A(b)",
        "schema": {"type": "char"}, "exclusiveMinimum": false, "format": "binary",
    });
    let schema = json!({"default": data, "enum": [data, data], "examples": [data]});
    assert_eq!(component(schema.clone()), schema);
    assert_eq!(component(json!({"example": data})), json!({"examples": [data]}));
    assert_eq!(parameter(json!({"name": "p", "in": "query", "example": data}))["example"], data);
    let extension = json!({"x-code-samples": [data], "responses": {"200": {"description": "nullable"}}});
    assert_eq!(operation(extension.clone()), extension);
}

#[test]
fn order() {
    let upgraded = upgrade(json!({
        "openapi": "3.0.0", "info": {"title": "t", "version": "1"}, "servers": [], "tags": [],
        "paths": {"/": {"get": {"operationId": "o", "parameters": [{
            "name": "p", "schema": {"type": "string", "example": "a"}, "in": "query", "description": "d",
            "required": true, "deprecated": false, "explode": true,
        }], "responses": {"200": {"description": "", "headers": {
            "ETAG": {"deprecated": false, "schema": {}}, "X-B": {"schema": {}},
        }}}}}},
        "components": {"schemas": {"S": {
            "type": "number", "format": "double", "description": "d", "nullable": true, "example": 1.5,
            "maximum": 2.0, "exclusiveMaximum": true, "minimum": 0.0,
        }}},
    }));
    assert_eq!(
        upgraded.to_string(),
        concat!(
            r#"{"openapi":"3.1.0","info":{"title":"t","version":"1"},"#,
            r#""paths":{"/":{"get":{"operationId":"o","parameters":[{"name":"p","in":"query","#,
            r#""description":"d","required":true,"schema":{"type":"string"},"example":"a"}],"#,
            r#""responses":{"200":{"description":"","headers":{"ETag":{"schema":{}},"X-B":{"schema":{}}}}}}}},"#,
            r#""components":{"schemas":{"S":{"type":["number","null"],"format":"double","#,
            r#""description":"d","examples":[1.5],"exclusiveMaximum":2.0,"minimum":0.0}}}}"#,
        )
    );
}

/// A colour.
#[derive(Enum)]
#[oai(rename_all = "lowercase")]
enum Colour {
    Red,
    Green,
}

/// A name.
#[derive(NewType)]
struct Name(String);

#[derive(Union)]
enum NameOrNumber {
    Name(Name),
    Number(i64),
}

#[derive(Object)]
struct Page<T: poem_openapi::types::Type + poem_openapi::types::ParseFromJSON + poem_openapi::types::ToJSON> {
    items: Vec<T>,
}

#[derive(Object)]
struct Thing {
    /// The colour of the thing.
    #[oai(nullable)]
    colour: Option<Colour>,
    #[oai(validator(minimum(value = "0", exclusive)))]
    size: i32,
    #[oai(nullable)]
    note: Option<String>,
    /// What to call it.
    label: NameOrNumber,
    corners: [f64; 2],
    initial: char,
    count: std::num::NonZero<i8>,
}

#[derive(ApiResponse)]
enum Created {
    /// The thing exists.
    #[oai(status = 201)]
    Thing(Json<Thing>, #[oai(header = "ETag")] String),
}

fn example() -> u64 {
    7
}

struct Api;

#[OpenApi]
impl Api {
    #[oai(path = "/things/:id", method = "post")]
    async fn create(
        &self,
        #[oai(example = "example")] id: Path<u64>,
        colour: Query<Option<Colour>>,
        thing: Json<Thing>,
    ) -> Created {
        let _ = (id, colour);
        Created::Thing(thing, String::new())
    }

    #[oai(path = "/pages", method = "get")]
    async fn pages(&self) -> Json<Page<u64>> {
        Json(Page { items: Vec::new() })
    }

    #[oai(path = "/image", method = "get")]
    async fn image(&self) -> Binary<Vec<u8>> {
        Binary(Vec::new())
    }
}

#[test]
fn service() {
    let spec = OpenApiService::new(Api, "Things", "1").spec();
    assert_eq!(
        document(serde_json::from_str(&spec).unwrap()),
        json!({
            "openapi": "3.1.0",
            "info": {"title": "Things", "version": "1"},
            "paths": {
                "/things/{id}": {"post": {
                    "parameters": [
                        {
                            "name": "id", "in": "path", "required": true,
                            "schema": {"type": "integer", "format": "uint64"}, "example": 7,
                        },
                        {"name": "colour", "in": "query", "schema": {"$ref": "#/components/schemas/Colour"}},
                    ],
                    "requestBody": {
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}},
                        "required": true,
                    },
                    "responses": {"201": {
                        "description": "The thing exists.",
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}},
                        "headers": {"ETag": {"required": true, "schema": {"type": "string"}}},
                    }},
                }},
                "/pages": {"get": {"responses": {"200": {
                    "description": "",
                    "content": {"application/json": {
                        "schema": {"$ref": "#/components/schemas/Page_integer_uint64"},
                    }},
                }}}},
                "/image": {"get": {"responses": {"200": {
                    "description": "",
                    "content": {"application/octet-stream": {"schema": {}}},
                }}}},
            },
            "components": {"schemas": {
                "Colour": {"type": "string", "description": "A colour.", "enum": ["red", "green"]},
                "NameOrNumber": {"anyOf": [
                    {"type": "string", "title": "A name."},
                    {"type": "integer", "format": "int64"},
                ]},
                "Page_integer_uint64": {
                    "type": "object",
                    "title": "Page_integer(uint64)",
                    "required": ["items"],
                    "properties": {
                        "items": {"type": "array", "items": {"type": "integer", "format": "uint64"}},
                    },
                },
                "Thing": {
                    "type": "object",
                    "title": "Thing",
                    "required": ["size", "label", "corners", "initial", "count"],
                    "properties": {
                        "colour": {
                            "description": "The colour of the thing.",
                            "anyOf": [{"$ref": "#/components/schemas/Colour"}, {"type": "null"}],
                        },
                        "size": {"type": "integer", "format": "int32", "exclusiveMinimum": 0},
                        "note": {"type": ["string", "null"]},
                        "label": {"$ref": "#/components/schemas/NameOrNumber", "description": "What to call it."},
                        "corners": {
                            "type": "array", "items": {"type": "number", "format": "double"},
                            "maxItems": 2, "minItems": 2,
                        },
                        "initial": {"type": "string", "minLength": 1, "maxLength": 1},
                        "count": {"type": "integer", "format": "int8", "not": {"const": 0}},
                    },
                },
            }},
        })
    );
}
