//! References to extensions in the configuration of a client. None is supported yet: the exporters say so.

use serde::Deserialize;

/// The collector's `auth` of a client.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// The id of an extension.
    pub authenticator: String,
}

/// The collector's `middlewares` of a client.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Middleware {
    /// The id of an extension.
    pub id: String,
}
