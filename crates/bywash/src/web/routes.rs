//! The paths below `/api`, and two beside it: each with its method and what answers it.

use http::Method;

/// What answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handler {
    /// The store.
    Store,
    /// [`super::me`].
    Me,
    /// [`super::tail`].
    Tail,
    /// [`super::export`].
    Export,
    /// [`super::state`], once.
    State,
    /// [`super::state`], every second.
    StateLive,
    /// [`super::losses`].
    Losses,
    /// [`super::letters`]: the list.
    Letters,
    /// [`super::letters`]: send again.
    Replay,
    /// [`super::letters`]: remove.
    Discard,
    /// [`super::trial`].
    Trial,
    /// The process runs.
    Live,
    /// It takes data.
    Ready,
}

/// A path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// GET or POST.
    pub method: Method,
    /// As in OpenAPI: `{id}` is one part of any name.
    pub path: &'static str,
    /// What answers.
    pub handler: Handler,
}

const fn get(path: &'static str, handler: Handler) -> Route {
    Route { method: Method::GET, path, handler }
}

const fn post(path: &'static str, handler: Handler) -> Route {
    Route { method: Method::POST, path, handler }
}

/// All of them.
pub const ROUTES: &[Route] = &[
    get("/api/me", Handler::Me),
    get("/api/logs", Handler::Store),
    get("/api/logs/around", Handler::Store),
    get("/api/spans", Handler::Store),
    get("/api/traces", Handler::Store),
    get("/api/traces/{id}", Handler::Store),
    get("/api/histogram", Handler::Store),
    get("/api/fields", Handler::Store),
    get("/api/services", Handler::Store),
    get("/api/tail", Handler::Tail),
    get("/api/export", Handler::Export),
    get("/api/losses", Handler::Losses),
    get("/api/pipeline", Handler::State),
    get("/api/pipeline/live", Handler::StateLive),
    get("/api/dead-letters", Handler::Letters),
    post("/api/dead-letters/replay", Handler::Replay),
    post("/api/dead-letters/discard", Handler::Discard),
    post("/api/stages/run", Handler::Trial),
    get("/live", Handler::Live),
    get("/ready", Handler::Ready),
];

/// What there is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// This answers.
    Route(Handler),
    /// It is asked by another method.
    Method(Method),
    /// Nothing.
    Nothing,
}

/// Looks a path up.
#[must_use]
pub fn find(method: &Method, path: &str) -> Found {
    match ROUTES.iter().find(|route| matches(route.path, path)) {
        Some(route) if route.method == *method => Found::Route(route.handler),
        Some(route) => Found::Method(route.method.clone()),
        None => Found::Nothing,
    }
}

fn matches(pattern: &str, path: &str) -> bool {
    match pattern.strip_suffix("{id}") {
        Some(before) => path.strip_prefix(before).is_some_and(|id| !id.is_empty() && !id.contains('/')),
        None => pattern == path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: known paths, with their methods and others, and unknown ones. Guarantee: each is what it is.
    #[test]
    fn paths_are_found() {
        assert_eq!(find(&Method::GET, "/api/logs/around"), Found::Route(Handler::Store));
        assert_eq!(find(&Method::GET, "/api/traces/00ff"), Found::Route(Handler::Store));
        assert_eq!(find(&Method::POST, "/api/logs"), Found::Method(Method::GET));
        assert_eq!(find(&Method::GET, "/api/stages/run"), Found::Method(Method::POST));
        for path in ["/api", "/api/", "/api/log", "/api/traces/", "/api/traces/a/b", "/livee", ""] {
            assert_eq!(find(&Method::GET, path), Found::Nothing, "{path}");
        }
    }
}
