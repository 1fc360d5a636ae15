//! The files of the page, which are in the binary: each with its type and its tag, packed once for who takes it so.

use super::answer::{self, Body};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode};
use std::hash::{DefaultHasher, Hasher};
use std::io::Write;
use std::sync::LazyLock;

/// Path and text of each.
static FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/ui.rs"));

/// A file as it is served.
struct File {
    path: &'static str,
    kind: &'static str,
    plain: &'static [u8],
    /// Smaller than the file; else there is none.
    packed: Option<&'static [u8]>,
    tag: HeaderValue,
}

/// All of them, by path. What is packed lives as long as the process, as the files do.
static SERVED: LazyLock<Vec<File>> = LazyLock::new(|| FILES.iter().map(|(path, text)| File::new(path, text)).collect());

impl File {
    fn new(path: &'static str, plain: &'static [u8]) -> File {
        let mut hasher = DefaultHasher::new();
        hasher.write(plain);
        let tag = format!("\"{:016x}-{:x}\"", hasher.finish(), plain.len());
        let packed = packed(plain).filter(|packed| packed.len() < plain.len());
        File {
            path,
            kind: kind(path),
            plain,
            packed: packed.map(|packed| &*Box::leak(packed.into_boxed_slice())),
            // Digits between quotes.
            tag: HeaderValue::from_str(&tag).unwrap_or(HeaderValue::from_static("\"\"")),
        }
    }
}

fn packed(plain: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain).ok()?;
    encoder.finish().ok()
}

fn kind(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, end)| end) {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        _ => "text/plain; charset=utf-8",
    }
}

/// The file of a path, for who sent these headers. None if there is none.
pub fn answer(path: &str, asked: &HeaderMap) -> Option<Response<Body>> {
    let path = if path == "/" { "/index.html" } else { path };
    let file = SERVED.iter().find(|file| file.path == path)?;
    let is_known = asked
        .get(header::IF_NONE_MATCH)
        .and_then(|tags| tags.to_str().ok())
        .is_some_and(|tags| tags.split(',').any(|tag| file.tag == tag.trim().trim_start_matches("W/")));
    let packed = file.packed.filter(|_| takes_gzip(asked));
    let mut response = match (is_known, packed) {
        (true, _) => answer::whole(StatusCode::NOT_MODIFIED, file.kind, &b""[..]),
        (false, Some(packed)) => answer::whole(StatusCode::OK, file.kind, packed),
        (false, None) => answer::whole(StatusCode::OK, file.kind, file.plain),
    };
    let headers = response.headers_mut();
    if packed.is_some() && !is_known {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    headers.insert(header::ETAG, file.tag.clone());
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    // It is asked each time whether there is another, which costs a round and no bytes.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Some(response)
}

/// Whether gzip is among what is accepted (RFC 9110 §12.5.3).
fn takes_gzip(asked: &HeaderMap) -> bool {
    let accepted = asked.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accepted.split(',').any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let is_refused = weight.trim().strip_prefix("q=").and_then(|q| q.parse().ok()).is_some_and(|q: f32| q <= 0.0);
        name.trim().eq_ignore_ascii_case("gzip") && !is_refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    /// Scenario: the page's root and a module, as they are, packed, and known already; a file that is none of the page's. Guarantee: right types
    /// and tags, packed only for who takes it, nothing twice.
    #[test]
    fn files_are_served_with_their_types() {
        let root = answer("/", &HeaderMap::new()).unwrap();
        assert_eq!(root.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
        assert!(!root.headers().contains_key(header::CONTENT_ENCODING));
        let module = answer("/src/app.js", &asking(header::ACCEPT_ENCODING, "br, gzip;q=0.5")).unwrap();
        assert_eq!(module.headers()[header::CONTENT_TYPE], "text/javascript; charset=utf-8");
        assert_eq!(module.headers()[header::CONTENT_ENCODING], "gzip");
        let refused = answer("/src/app.js", &asking(header::ACCEPT_ENCODING, "gzip;q=0, br")).unwrap();
        assert!(!refused.headers().contains_key(header::CONTENT_ENCODING));
        let tag = module.headers()[header::ETAG].to_str().unwrap().to_owned();
        let again = answer("/src/app.js", &asking(header::IF_NONE_MATCH, &format!("\"x\", W/{tag}"))).unwrap();
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        for path in ["/jsconfig.json", "/src/types.d.ts", "/../Cargo.toml", "/src", "", "/src/../index.html"] {
            assert!(answer(path, &HeaderMap::new()).is_none(), "{path}");
        }
    }

    /// Scenario: every file that the page's modules and sheets name. Guarantee: it is there.
    #[test]
    fn the_page_is_whole() {
        for file in SERVED.iter().filter(|file| file.path.ends_with(".js") && !file.path.starts_with("/vendor/")) {
            let text = std::str::from_utf8(file.plain).unwrap();
            let named = text.split(" from '").skip(1).filter_map(|rest| rest.split('\'').next());
            for name in named.filter(|name| name.starts_with('.')) {
                let mut parts: Vec<&str> = file.path.split('/').collect();
                parts.pop();
                for part in name.split('/') {
                    match part {
                        "." => {}
                        ".." => drop(parts.pop()),
                        part => parts.push(part),
                    }
                }
                let path = parts.join("/");
                assert!(answer(&path, &HeaderMap::new()).is_some(), "{path}, which {} names", file.path);
            }
        }
    }
}
