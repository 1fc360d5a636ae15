#![allow(missing_docs, clippy::unimplemented, unused_variables)]
use crate::spool::*;
use crate::*;
use std::path::Path;
use std::sync::Arc;
pub struct Letter {
    pub payload: Payload,
    pub target: Target,
    pub reason: Kind,
    pub text: String,
    pub first: u64,
    pub last: u64,
    pub attempts: u32,
    pub at: u64,
}
pub struct DeadLetters;
impl DeadLetters {
    pub fn open(d: Arc<dyn disk::Disk>, p: &Path, c: DeadLettersConfig) -> Result<Self, StoreError> {
        unimplemented!()
    }
    pub fn view(&self) -> view::DeadView {
        Default::default()
    }
    pub fn configure(&self, c: DeadLettersConfig) {}
    pub fn bury(&self, l: Vec<Letter>) -> Result<(), StoreError> {
        Ok(())
    }
    pub fn expire(&self, n: u64) -> Result<(), StoreError> {
        Ok(())
    }
}
