//! Loki's stages.
pub mod entry;
pub mod go;
pub mod text;
