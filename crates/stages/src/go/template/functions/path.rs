//! sprig's paths, URLs and versions.

use super::{Args, group, text};
use crate::go::template::ExecError;
use crate::go::template::value::Val;
use crate::text::Text;
use std::rc::Rc;

group! {
    "base" => |a| { a.exactly(1)?; text(base(&a.str(0)?)) },
    "osBase" => |a| { a.exactly(1)?; text(base(&a.str(0)?)) },
    "dir" => |a| { a.exactly(1)?; text(dir(&a.str(0)?)) },
    "osDir" => |a| { a.exactly(1)?; text(dir(&a.str(0)?)) },
    "clean" => |a| { a.exactly(1)?; text(clean(&a.str(0)?)) },
    "osClean" => |a| { a.exactly(1)?; text(clean(&a.str(0)?)) },
    "ext" => |a| { a.exactly(1)?; text(ext(&a.str(0)?)) },
    "osExt" => |a| { a.exactly(1)?; text(ext(&a.str(0)?)) },
    "isAbs" => |a| { a.exactly(1)?; Ok(Val::Bool(a.text(0)?.starts_with(b"/"))) },
    "osIsAbs" => |a| { a.exactly(1)?; Ok(Val::Bool(a.text(0)?.starts_with(b"/"))) },
    "urlParse" => url_parse,
    "urlJoin" => url_join,
    "semver" => |a| { a.exactly(1)?; semver(a) },
    "semverCompare" => semver_compare,
}

fn base(path: &str) -> String {
    let trimmed = path.trim_end_matches('/');
    match (path.is_empty(), trimmed.is_empty()) {
        (true, _) => ".".to_owned(),
        (false, true) => "/".to_owned(),
        _ => trimmed.rsplit('/').next().unwrap_or(trimmed).to_owned(),
    }
}

fn dir(path: &str) -> String {
    clean(&path[..path.rfind('/').map_or(0, |at| at + 1)])
}

fn ext(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.rfind('.').map_or(String::new(), |at| name[at..].to_owned())
}

/// The shortest path that means the same.
fn clean(path: &str) -> String {
    let absolute = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => match parts.last() {
                Some(&last) if last != ".." => drop(parts.pop()),
                _ if absolute => {}
                _ => parts.push(".."),
            },
            part => parts.push(part),
        }
    }
    match (absolute, parts.join("/")) {
        (true, path) => format!("/{path}"),
        (false, path) if path.is_empty() => ".".to_owned(),
        (false, path) => path,
    }
}

fn url_parse(a: &Args<'_>) -> Result<Val, ExecError> {
    a.exactly(1)?;
    let url = a.str(0)?;
    let (rest, fragment) = url.split_once('#').unwrap_or((&url, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let is_scheme = |s: &str| {
        s.starts_with(|c: char| c.is_ascii_alphabetic())
            && s.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    };
    let (scheme, rest) = match rest.split_once(':') {
        Some((scheme, rest)) if is_scheme(scheme) => (scheme.to_ascii_lowercase(), rest),
        _ => (String::new(), rest),
    };
    let (authority, path, opaque) = match rest.strip_prefix("//") {
        Some(rest) => {
            let at = rest.find('/').unwrap_or(rest.len());
            (&rest[..at], &rest[at..], "")
        }
        None if !scheme.is_empty() && !rest.starts_with('/') => ("", "", rest),
        None => ("", rest, ""),
    };
    let (userinfo, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let hostname = match host.strip_prefix('[') {
        Some(inner) => inner.split(']').next().unwrap_or(inner),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    let parts: [(&str, &str); 8] = [
        ("scheme", &scheme),
        ("host", host),
        ("hostname", hostname),
        ("path", path),
        ("query", query),
        ("opaque", opaque),
        ("fragment", fragment),
        ("userinfo", userinfo),
    ];
    Ok(Val::Map(Rc::new(parts.into_iter().map(|(name, value)| (name.into(), Val::text(value))).collect())))
}

fn url_join(a: &Args<'_>) -> Result<Val, ExecError> {
    a.exactly(1)?;
    let map = a.map(0)?;
    let part = |name: &str| match map.get(name.as_bytes()) {
        Some(Val::Text(text)) => text.to_string(),
        _ => String::new(),
    };
    let mut out = String::new();
    let (scheme, host, userinfo, path, opaque) =
        (part("scheme"), part("host"), part("userinfo"), part("path"), part("opaque"));
    if !scheme.is_empty() {
        out.push_str(&format!("{scheme}:"));
    }
    if opaque.is_empty() {
        if !scheme.is_empty() || !host.is_empty() || !userinfo.is_empty() {
            if !host.is_empty() || !userinfo.is_empty() || path.starts_with("//") {
                out.push_str("//");
            }
            if !userinfo.is_empty() {
                out.push_str(&format!("{userinfo}@"));
            }
            out.push_str(&host);
        }
        if !path.is_empty() && !path.starts_with('/') && !host.is_empty() {
            out.push('/');
        }
        out.push_str(&path);
    } else {
        out.push_str(&opaque);
    }
    for (sign, name) in [('?', "query"), ('#', "fragment")] {
        let value = part(name);
        if !value.is_empty() {
            out.push(sign);
            out.push_str(&value);
        }
    }
    text(out)
}

/// Major, minor, patch, prerelease and metadata of a version; missing numbers are 0.
struct Version<'a> {
    numbers: [u64; 3],
    /// How many of the numbers were given.
    given: usize,
    prerelease: &'a str,
    metadata: &'a str,
}

fn version(text: &str) -> Option<Version<'_>> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let (rest, metadata) = text.split_once('+').unwrap_or((text, ""));
    let (rest, prerelease) = rest.split_once('-').unwrap_or((rest, ""));
    let (mut numbers, mut given) = ([0; 3], 0);
    for part in rest.split('.') {
        if matches!(part, "x" | "X" | "*") {
            break;
        }
        *numbers.get_mut(given)? = part.parse().ok()?;
        given += 1;
    }
    Some(Version { numbers, given, prerelease, metadata })
}

fn semver(a: &Args<'_>) -> Result<Val, ExecError> {
    let source = a.str(0)?;
    let Some(version) = version(&source).filter(|v| v.given > 0) else { return a.fail("Invalid Semantic Version") };
    let [major, minor, patch] = version.numbers;
    let fields: [(&str, Val); 6] = [
        ("Major", Val::Int(major as i64)),
        ("Minor", Val::Int(minor as i64)),
        ("Patch", Val::Int(patch as i64)),
        ("Prerelease", Val::text(version.prerelease)),
        ("Metadata", Val::text(version.metadata)),
        ("Original", Val::text(&*source)),
    ];
    Ok(Val::Map(Rc::new(fields.into_iter().map(|(name, value)| (Text::from(name), value)).collect())))
}

/// `semverCompare ">=1.2 <2 || ~3.1" version`
fn semver_compare(a: &Args<'_>) -> Result<Val, ExecError> {
    a.exactly(2)?;
    let (constraint, source) = (a.str(0)?, a.str(1)?);
    let Some(found) = version(&source).filter(|v| v.given > 0) else { return a.fail("Invalid Semantic Version") };
    let mut any = false;
    for alternative in constraint.split("||") {
        let mut all = true;
        let joined = alternative.replace(',', " ");
        let mut words = joined.split_whitespace().peekable();
        while let Some(word) = words.next() {
            let at = word.find(|c: char| !"<>=!~^".contains(c)).unwrap_or(word.len());
            let (operator, mut wanted) = word.split_at(at);
            if wanted.is_empty() {
                wanted = words.next().unwrap_or_default();
            }
            let Some(wanted) = version(wanted) else { return a.fail("improper constraint") };
            let Some(holds) = satisfies(operator, &found, &wanted) else { return a.fail("improper constraint") };
            all &= holds;
        }
        any |= all;
    }
    Ok(Val::Bool(any))
}

fn satisfies(operator: &str, found: &Version<'_>, wanted: &Version<'_>) -> Option<bool> {
    if !found.prerelease.is_empty() && wanted.prerelease.is_empty() {
        return Some(false);
    }
    // A version comes after its prereleases.
    let key = |v: &Version<'_>| (v.numbers, v.prerelease.is_empty(), v.prerelease.to_owned());
    let (f, w) = (key(found), key(wanted));
    let same = |count: usize| found.numbers[..count] == wanted.numbers[..count];
    Some(match operator {
        "" | "=" if wanted.given < 3 => same(wanted.given),
        "" | "=" | "==" => f == w,
        "!=" if wanted.given < 3 => !same(wanted.given),
        "!=" => f != w,
        ">" if wanted.given < 3 => found.numbers[..wanted.given] > wanted.numbers[..wanted.given],
        ">" => f > w,
        ">=" | "=>" => f >= w,
        "<" => f < w,
        "<=" | "=<" if wanted.given < 3 => found.numbers[..wanted.given] <= wanted.numbers[..wanted.given],
        "<=" | "=<" => f <= w,
        "~" | "~>" => f >= w && same(wanted.given.clamp(1, 2)),
        "^" => {
            let first =
                wanted.numbers.iter().take(wanted.given).position(|n| *n > 0).unwrap_or(wanted.given.saturating_sub(1));
            f >= w && same(first + 1)
        }
        _ => return None,
    })
}
