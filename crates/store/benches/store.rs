//! What the store costs: see `cargo bench -p bywash-store`.
#![allow(missing_docs)]
fn main() {}
