//! Extensions: what runs beside the pipelines.
//!
//! | extension | what it is here |
//! |---|---|
//! | `health_check` | [`health_check`] |
//! | `file_storage` | [`file_storage`]: queues of exporters on disk |
//! | `bearertokenauth`, `basicauth`, `headers_setter`, `oauth2client`, `sigv4auth` | [`authenticators`]: who may send, and what exporters show |
//! | `zpages`, `pprof` | accepted, with a warning: the metrics page takes their place |
//!
//! Extensions are siblings and never import each other.

pub mod authenticators;
pub mod file_storage;
pub mod health_check;
