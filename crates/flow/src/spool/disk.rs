#![allow(missing_docs)]
pub trait Disk: Send + Sync {}
#[derive(Default)]
pub struct RealDisk;
impl Disk for RealDisk {}
