//! References to extensions in the configuration of a client. Of middlewares none exists: the exporters say so.

use config::ComponentId;
use serde::Deserialize;

/// The collector's `auth` of a client.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// The id of an extension.
    pub authenticator: ComponentId,
}

/// The collector's `middlewares` of a client.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Middleware {
    /// The id of an extension.
    pub id: String,
}
