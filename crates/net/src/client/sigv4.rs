//! Amazon's Signature Version 4 of a request in headers (docs.aws.amazon.com, "Create a signed AWS API request").
//!
//! Pure functions: the time is handed in, and every header that is handed in is signed. Invariant: no secret is in what is given back.
//! It does NOT know where credentials come from, nor S3's rules, which differ.

use super::status::percent_decode;
use config::Secret;
use flow::clock::rfc3339;
use http::{HeaderMap, Uri};
use sha2::{Digest, Sha256};
use std::time::Duration;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// Bytes of a block of SHA-256.
const BLOCK: usize = 64;

/// What is signed.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Such as `POST`.
    pub method: &'a str,
    /// Where to.
    pub uri: &'a Uri,
    /// All headers that are signed; `host` and `x-amz-date` are among them.
    pub headers: &'a HeaderMap,
    /// See [`hash`].
    pub body_hash: &'a str,
}

/// What it is signed for, and with.
#[derive(Clone, Copy, Debug)]
pub struct Signer<'a> {
    /// The id of the key.
    pub access_key: &'a str,
    /// The key.
    pub secret_key: &'a Secret,
    /// Such as `us-east-1`.
    pub region: &'a str,
    /// Such as `aps`.
    pub service: &'a str,
}

/// The value of `x-amz-date` at a time since the epoch.
#[must_use]
pub fn date(since_epoch: Duration) -> String {
    rfc3339(since_epoch).replace(['-', ':'], "")
}

/// The SHA-256 of a body in hexadecimal.
#[must_use]
pub fn hash<'a>(body: impl Iterator<Item = &'a [u8]>) -> String {
    let mut sha = Sha256::new();
    body.for_each(|part| sha.update(part));
    hex(&sha.finalize())
}

impl Signer<'_> {
    /// The value of `authorization` for a request at a time since the epoch, which its `x-amz-date` says too.
    #[must_use]
    pub fn authorization(&self, request: &Request<'_>, since_epoch: Duration) -> String {
        let (date, names) = (date(since_epoch), names(request.headers));
        let scope = format!("{}/{}/{}/aws4_request", &date[..8], self.region, self.service);
        let canonical = hash([canonical(request, &names).as_bytes()].into_iter());
        let text = format!("{ALGORITHM}\n{date}\n{scope}\n{canonical}");
        let signature = hex(&hmac(&self.key(&date[..8]), text.as_bytes()));
        let (key, names) = (self.access_key, names.join(";"));
        format!("{ALGORITHM} Credential={key}/{scope}, SignedHeaders={names}, Signature={signature}")
    }

    /// The key of a day, a region and a service.
    fn key(&self, day: &str) -> [u8; 32] {
        let first = hmac(format!("AWS4{}", self.secret_key.expose()).as_bytes(), day.as_bytes());
        [self.region, self.service, "aws4_request"].iter().fold(first, |key, part| hmac(&key, part.as_bytes()))
    }
}

/// The names of the headers, in order, each once.
fn names(headers: &HeaderMap) -> Vec<&str> {
    let mut names: Vec<&str> = headers.keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    names
}

/// The request in the one form that both sides agree on.
fn canonical(request: &Request<'_>, names: &[&str]) -> String {
    let mut out = format!("{}\n{}\n{}\n", request.method, path(request.uri.path()), query(request.uri));
    for name in names {
        let values = request.headers.get_all(*name).iter().map(|value| {
            let text = String::from_utf8_lossy(value.as_bytes());
            text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
        });
        out.push_str(&format!("{name}:{}\n", values.collect::<Vec<_>>().join(",")));
    }
    out.push_str(&format!("\n{}\n{}", names.join(";"), request.body_hash));
    out
}

/// Each segment encoded once more than it is on the wire.
fn path(path: &str) -> String {
    let segments: Vec<String> = path.split('/').map(|segment| encoded(segment.as_bytes())).collect();
    if path.is_empty() { "/".to_owned() } else { segments.join("/") }
}

/// The parameters by name and value.
fn query(uri: &Uri) -> String {
    let text = |part: &str| encoded(percent_decode(part.as_bytes()).as_bytes());
    let pairs = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    let mut pairs: Vec<(String, String)> = pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (text(name), text(value)))
        .collect();
    pairs.sort();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

fn encoded(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(*byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// HMAC-SHA256 (RFC 2104).
fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut block = [0; BLOCK];
    if key.len() > BLOCK {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    /// 2015-08-30 12:36:00.
    const WHEN: Duration = Duration::from_secs(1_440_938_160);

    fn signature(method: &str, uri: &str, headers: &[(&str, &str)], body: &str) -> String {
        let secret = Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
        let signer = Signer { access_key: "AKIDEXAMPLE", secret_key: &secret, region: "us-east-1", service: "service" };
        let own = [("host", "example.amazonaws.com"), ("x-amz-date", "20150830T123600Z")];
        let mut all = HeaderMap::new();
        for (name, value) in own.iter().chain(headers) {
            all.append(HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        let (uri, body_hash) = (uri.parse().unwrap(), hash([body.as_bytes()].into_iter()));
        let request = Request { method, uri: &uri, headers: &all, body_hash: &body_hash };
        let text = signer.authorization(&request, WHEN);
        assert!(text.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "));
        assert!(!text.contains("EXAMPLEKEY"));
        text.split_once("SignedHeaders=").unwrap().1.replace(" Signature=", "")
    }

    /// Scenario: requests of the test suite that Amazon publishes (aws-sig-v4-test-suite). Guarantee: the signatures are Amazon's.
    #[test]
    fn signatures_are_amazons() {
        let url = "https://example.amazonaws.com/";
        let form = ("content-type", "application/x-www-form-urlencoded");
        for (name, method, query, headers, body, expected) in [
            (
                "get-vanilla",
                "GET",
                "",
                &[][..],
                "",
                "host;x-amz-date,5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                "get-vanilla-query-order-key-case",
                "GET",
                "?Param2=value2&Param1=value1",
                &[],
                "",
                "host;x-amz-date,b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
            (
                "get-vanilla-query-order-key",
                "GET",
                "?Param1=value2&Param1=Value1",
                &[],
                "",
                "host;x-amz-date,eedbc4e291e521cf13422ffca22be7d2eb8146eecf653089df300a15b2382bd1",
            ),
            (
                "get-header-value-trim",
                "GET",
                "",
                &[("my-header1", " value1"), ("my-header2", " \"a   b   c\"")],
                "",
                "host;my-header1;my-header2;x-amz-date,acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
            ),
            (
                "get-header-key-duplicate",
                "GET",
                "",
                &[("my-header1", "value2"), ("my-header1", "value2"), ("my-header1", "value1")],
                "",
                "host;my-header1;x-amz-date,c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
            ),
            (
                "get-header-value-order",
                "GET",
                "",
                &[
                    ("my-header1", "value4"),
                    ("my-header1", "value1"),
                    ("my-header1", "value3"),
                    ("my-header1", "value2"),
                ],
                "",
                "host;my-header1;x-amz-date,08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01",
            ),
            (
                "post-vanilla",
                "POST",
                "",
                &[],
                "",
                "host;x-amz-date,5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                "post-vanilla-query",
                "POST",
                "?Param1=value1",
                &[],
                "",
                "host;x-amz-date,28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11",
            ),
            (
                "post-header-value-case",
                "POST",
                "",
                &[("my-header1", "VALUE1")],
                "",
                "host;my-header1;x-amz-date,cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
            ),
            (
                "post-x-www-form-urlencoded",
                "POST",
                "",
                &[form],
                "Param1=value1",
                "content-type;host;x-amz-date,ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ),
            (
                "post-x-www-form-urlencoded-parameters",
                "POST",
                "",
                &[("content-type", "application/x-www-form-urlencoded; charset=utf8")],
                "Param1=value1",
                "content-type;host;x-amz-date,1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe",
            ),
        ] {
            assert_eq!(signature(method, &format!("{url}{query}"), headers, body), expected, "{name}");
        }
    }

    /// Scenario: every character that needs no encoding, and one that is encoded on the wire. Guarantee: the first stay as they are (the
    /// signature is Amazon's for get-unreserved), the other is encoded once more.
    #[test]
    fn paths_are_encoded_once_more() {
        let unreserved = "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        assert_eq!(
            signature("GET", &format!("https://example.amazonaws.com{unreserved}"), &[], ""),
            "host;x-amz-date,07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"
        );
        assert_eq!((path("/a%20b/c"), path("")), ("/a%2520b/c".to_owned(), "/".to_owned()));
    }

    /// Scenario: a text and keys of RFC 4231, one longer than a block. Guarantee: the codes are the RFC's.
    #[test]
    fn codes_are_the_standards() {
        let code = hmac(b"Jefe", b"what do ya want for nothing?");
        assert_eq!(hex(&code), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        let code = hmac(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First");
        assert_eq!(hex(&code), "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    }
}
