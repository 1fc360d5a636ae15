//! Extensions: what runs beside the pipelines.
//!
//! | extension | what it is here |
//! |---|---|
//! | `health_check` | [`health_check`] |
//! | `bearertokenauth`, `basicauth` | [`authenticators`]: who may send |
//! | `zpages`, `pprof` | accepted, with a warning: the metrics page takes their place |
//!
//! Extensions are siblings and never import each other.

pub mod authenticators;
pub mod health_check;
