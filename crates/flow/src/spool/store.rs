#![allow(missing_docs, clippy::unimplemented, unused_variables)]
use super::disk::Disk;
use crate::*;
use bytes::Bytes;
use std::path::Path;
use std::sync::Arc;
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key(std::num::NonZeroU32);
pub struct Store;
#[derive(Debug, Clone)]
pub struct Piece {
    pub payload: Payload,
    pub target: Target,
    pub at: u64,
    pub first: u64,
    pub note: Option<Bytes>,
}
#[derive(Default)]
pub struct StoreConfig {
    pub segment_bytes: u64,
    pub max_record: u32,
}
#[derive(Debug, Default)]
pub struct Recovered {
    pub pieces: u64,
    pub records: u64,
    pub bytes: u64,
    pub damaged: Vec<Place>,
    pub damaged_total: u64,
    pub torn: u64,
}
#[derive(Debug)]
pub struct Place {
    pub segment: u64,
    pub offset: u64,
    pub what: String,
}
pub struct Look {
    pub id: u64,
    pub target: Target,
    pub records: u64,
    pub bytes: u64,
    pub at: u64,
    pub first: u64,
}
#[derive(Default, Clone, Copy)]
pub struct Totals {
    pub pieces: u64,
    pub records: u64,
    pub bytes: u64,
    pub disk_bytes: u64,
    pub segments: u64,
    pub oldest: Option<u64>,
}
#[derive(Default)]
pub struct Counts {
    pub copied_bytes: u64,
    pub written_bytes: u64,
    pub payload_bytes: u64,
}
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("x")]
    Locked,
    #[error("io")]
    Io,
    #[error("damaged")]
    Damaged { place: Place },
    #[error("gone")]
    Gone,
}
impl StoreError {
    pub fn kind(&self) -> &'static str {
        "other"
    }
}
impl Store {
    pub fn open(disk: Arc<dyn Disk>, dir: &Path, c: StoreConfig) -> Result<(Store, Recovered), StoreError> {
        unimplemented!()
    }
    pub fn write(&self, p: &[&Piece]) -> Result<Vec<Key>, StoreError> {
        unimplemented!()
    }
    pub fn finish(&self, k: Key) {}
    pub fn tried(&self, k: Key, f: u64) {}
    pub fn flush_marks(&self) -> Result<(), StoreError> {
        unimplemented!()
    }
    pub fn copy_forward(&self, b: u64) -> Result<bool, StoreError> {
        unimplemented!()
    }
    pub fn read(&self, k: Key) -> Result<Piece, StoreError> {
        unimplemented!()
    }
    pub fn look(&self, k: Key) -> Option<Look> {
        None
    }
    pub fn live(&self) -> Vec<Key> {
        vec![]
    }
    pub fn totals(&self) -> Totals {
        Totals::default()
    }
    pub fn counts(&self) -> Counts {
        Counts::default()
    }
    pub fn fattest(&self) -> Option<Target> {
        None
    }
    pub fn retarget(&self, k: Key, t: &Target) {}
}
