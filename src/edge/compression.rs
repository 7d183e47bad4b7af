//! Answers are compressed for those who ask: zstd, br or gzip, as the client prefers (RFC 9110 §12.5.3).
//!
//! Only JSON that may be: an answer that says `no-transform`, as one task's does, or has a strong tag stays as it is, since
//! its tag would belong to other bytes (RFC 9110 §8.8.1). Pages come compressed already.

use std::cell::RefCell;
use std::io::{self, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use poem::Response;
use poem::http::{HeaderMap, HeaderValue, header};
use zstd::bulk::Compressor;

/// The smallest body that is compressed, in bytes: a smaller one fits in a packet anyway.
const SMALLEST: usize = 1024;

/// How hard it is tried, of each coding the level at which a page of tasks costs some 50 µs.
const ZSTD_LEVEL: i32 = 1;
const BROTLI_QUALITY: i32 = 2;
const BROTLI_WINDOW: i32 = 16;
const GZIP_LEVEL: u32 = 1;

thread_local! {
    /// What zstd needs half a megabyte for, kept for the next answer.
    static ZSTD: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
}

/// A coding of content (RFC 8878, RFC 7932, RFC 1952).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Zstd,
    Brotli,
    Gzip,
}

impl Coding {
    /// Our own order of preference.
    const ALL: [Self; 3] = [Self::Zstd, Self::Brotli, Self::Gzip];

    const fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }

    /// The coding that the client likes best; `None` is none.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(header::ACCEPT_ENCODING).iter().peekable();
        values.peek()?;
        let mut weights = [None; Self::ALL.len()];
        let (mut others, mut identity) = (None, None);
        for item in values.flat_map(|value| value.to_str().unwrap_or_default().split(',')) {
            let mut parts = item.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
            let Some(weight) = weight.map_or(Some(1.0), |q| q.parse().ok().filter(|q: &f32| (0.0..=1.0).contains(q)))
            else {
                continue;
            };
            let place = Self::ALL.iter().position(|coding| coding.name().eq_ignore_ascii_case(name));
            match place.and_then(|place| weights.get_mut(place)) {
                Some(known) => *known = Some(weight),
                None if name == "*" => others = Some(weight),
                None if name.eq_ignore_ascii_case("identity") => identity = Some(weight),
                None => {}
            }
        }
        let weighed = Self::ALL.into_iter().zip(weights.map(|weight| weight.or(others).unwrap_or(0.0)));
        // Of equals the first; `max_by` would take the last.
        let (coding, weight) = weighed.rev().max_by(|(_, a), (_, b)| a.total_cmp(b))?;
        (weight > 0.0 && weight >= identity.unwrap_or(0.0)).then_some(coding)
    }

    fn encode(self, plain: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::Zstd => ZSTD.with_borrow_mut(|kept| {
                if kept.is_none() {
                    *kept = Some(Compressor::new(ZSTD_LEVEL)?);
                }
                kept.as_mut().map_or(Ok(Vec::new()), |compressor| compressor.compress(plain))
            }),
            Self::Brotli => {
                let params = brotli::enc::BrotliEncoderParams {
                    quality: BROTLI_QUALITY,
                    lgwin: BROTLI_WINDOW,
                    size_hint: plain.len(),
                    ..Default::default()
                };
                let mut coded = Vec::with_capacity(plain.len() / 4);
                brotli::BrotliCompress(&mut &*plain, &mut coded, &params)?;
                Ok(coded)
            }
            Self::Gzip => {
                let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 4), Compression::new(GZIP_LEVEL));
                encoder.write_all(plain)?;
                encoder.finish()
            }
        }
    }
}

/// Compresses an answer where that is allowed, wanted and pays.
pub(super) async fn compress(response: &mut Response, wanted: Option<Coding>) {
    if !may_be(response.headers()) {
        return;
    }
    response.headers_mut().append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    let Some(coding) = wanted else { return };
    let Ok(plain) = response.take_body().into_bytes().await else { return };
    let coded = (plain.len() >= SMALLEST).then(|| coding.encode(&plain)).and_then(Result::ok);
    let body = match coded.filter(|coded| coded.len() < plain.len() / 10 * 9) {
        Some(mut coded) => {
            // Room was set aside for more, and an answer may be held until it is read.
            coded.shrink_to_fit();
            response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
            Bytes::from(coded)
        }
        None => plain,
    };
    response.set_body(body);
}

/// Whether other bytes may be sent in place of the answer's.
fn may_be(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default();
    let media_type = text(header::CONTENT_TYPE);
    let is_json = media_type.starts_with("application/json") || media_type.starts_with("application/problem+json");
    // An answer without a body (304) says what the one with it would (RFC 9110 §15.4.5).
    let is_known = media_type.is_empty() && text(header::ETAG).starts_with("W/");
    let is_free = !text(header::CACHE_CONTROL).contains("no-transform") && !text(header::ETAG).starts_with('"');
    (is_json || is_known) && is_free && !headers.contains_key(header::CONTENT_ENCODING)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn wanted(values: &[&str]) -> Option<&'static str> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::ACCEPT_ENCODING, value.parse().unwrap());
        }
        Coding::of(&headers).map(Coding::name)
    }

    #[test]
    fn the_client_chooses() {
        let table: [(&[&str], Option<&str>); 21] = [
            (&[], None),
            (&[""], None),
            (&["identity"], None),
            (&["gzip"], Some("gzip")),
            (&["GZip"], Some("gzip")),
            (&["gzip, deflate, br, zstd"], Some("zstd")),
            (&["gzip, deflate, br"], Some("br")),
            (&["gzip", "br"], Some("br")),
            (&["gzip;q=1, br;q=0.5"], Some("gzip")),
            (&["gzip ; q=0.4 , zstd;q=0.3"], Some("gzip")),
            (&["zstd;q=0"], None),
            (&["*"], Some("zstd")),
            (&["*;q=0"], None),
            (&["zstd;q=0, *"], Some("br")),
            (&["*;q=0, gzip"], Some("gzip")),
            (&["identity;q=1, gzip;q=0.5"], None),
            (&["identity;q=0, gzip;q=0.5"], Some("gzip")),
            (&["gzip;q=2"], None),
            (&["gzip;q=nan"], None),
            (&["gzip;q=x, br"], Some("br")),
            (&["x-gzip, compress"], None),
        ];
        for (values, coding) in table {
            assert_eq!(wanted(values), coding, "{values:?}");
        }
    }

    /// What comes out of an answer with these headers, for a client that reads everything.
    async fn sent(body: &str, headers: &[(&'static str, &str)]) -> (Response, Vec<u8>) {
        let mut response = Response::builder().body(body.to_owned());
        for (name, value) in headers {
            response.headers_mut().insert(*name, value.parse().unwrap());
        }
        compress(&mut response, Some(Coding::Zstd)).await;
        let bytes = response.take_body().into_vec().await.unwrap();
        (response, bytes)
    }

    #[tokio::test]
    async fn every_coding_gives_the_text_back() {
        let text = "a page of tasks, which repeats itself; ".repeat(300);
        for coding in Coding::ALL {
            for _ in 0..2 {
                let coded = coding.encode(text.as_bytes()).unwrap();
                assert!(coded.len() < text.len() / 4, "{coding:?}");
                let mut plain = Vec::new();
                match coding {
                    Coding::Zstd => plain = zstd::bulk::decompress(&coded, text.len()).unwrap(),
                    Coding::Brotli => brotli::BrotliDecompress(&mut &*coded, &mut plain).unwrap(),
                    Coding::Gzip => {
                        flate2::read::GzDecoder::new(&*coded).read_to_end(&mut plain).unwrap();
                    }
                }
                assert_eq!(plain, text.as_bytes(), "{coding:?}");
            }
        }
    }

    #[tokio::test]
    async fn only_what_may_be_and_pays_is_compressed() {
        let (long, json) = ("x".repeat(4096), ("content-type", "application/json"));
        let weak = ("etag", "W/\"1\"");
        for headers in [&[json][..], &[json, weak], &[("content-type", "application/problem+json")]] {
            let (response, bytes) = sent(&long, headers).await;
            assert_eq!(response.header("content-encoding"), Some("zstd"), "{headers:?}");
            assert_eq!(response.header("vary"), Some("Accept-Encoding"), "{headers:?}");
            assert!(bytes.len() < 100);
        }
        let (short, bytes) = sent("{}", &[json]).await;
        assert_eq!((short.header("content-encoding"), short.header("vary")), (None, Some("Accept-Encoding")));
        assert_eq!(bytes, b"{}");
        for headers in [
            &[json, ("cache-control", "private, no-cache, no-transform")][..],
            &[json, ("etag", "\"1\"")],
            &[json, ("content-encoding", "gzip")],
            &[("content-type", "text/html")],
            &[],
        ] {
            let (response, bytes) = sent(&long, headers).await;
            assert_ne!(response.header("content-encoding"), Some("zstd"), "{headers:?}");
            assert_eq!((response.header("vary"), bytes.len()), (None, long.len()), "{headers:?}");
        }
    }
}
