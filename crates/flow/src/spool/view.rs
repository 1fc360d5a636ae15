//! A look at a spool, for metrics: plain numbers.

use crate::Kind;
use crate::stats::HistogramView;
use std::time::Duration;

/// What a spool holds and has counted since it was opened. Counters only grow.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SpoolView {
    /// Records that wait on disk, sending or not.
    pub records: u64,
    /// Pieces that they are in: what a lane sends or merges.
    pub pieces: u64,
    /// Payload bytes of those.
    pub bytes: u64,
    /// Payload bytes that may wait. 0: no limit.
    pub max_bytes: u64,
    /// Bytes of all files of the spool, dead letters not among them.
    pub disk_bytes: u64,
    /// Segment files.
    pub segments: u64,
    /// Since the oldest of those records came in. None: nothing waits.
    pub oldest_age: Option<Duration>,
    /// Seconds that a group took from its first write to the end of its sync.
    pub sync_seconds: HistogramView,
    /// Records that shared one sync.
    pub sync_records: HistogramView,
    /// Records found on disk when it was opened.
    pub recovered_records: u64,
    /// Places that were damaged and skipped, when it was opened or since, and segments that could not be read when it was opened.
    pub damaged: u64,
    /// Ends of segments that were never synced, and so were never acknowledged.
    pub torn: u64,
    /// Records given up because of their age.
    pub expired_records: u64,
    /// Bytes copied forward out of nearly dead segments.
    pub copied_bytes: u64,
    /// Bytes written to files, of whatever kind.
    pub written_bytes: u64,
    /// Payload bytes that came in. `written_bytes` over these is the write amplification.
    pub stored_bytes: u64,
    /// Writes and syncs that failed.
    pub failed_syncs: u64,
    /// What is wrong with the disk at present: `full`, `read_only` or `other`.
    pub trouble: Option<&'static str>,
    /// The dead letters; none if they are switched off.
    pub dead: Option<DeadView>,
}

/// A look at dead letters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadView {
    /// Letters that are kept.
    pub letters: u64,
    /// Records in them.
    pub records: u64,
    /// Payload bytes of those.
    pub bytes: u64,
    /// Records buried since it was opened, by reason.
    pub buried: Vec<(Kind, u64)>,
    /// Records of letters that went because newer ones needed their room.
    pub evicted_records: u64,
    /// Records of letters that went because of their age.
    pub expired_records: u64,
    /// Records of letters that a person discarded.
    pub discarded_records: u64,
    /// Records of letters that were sent again.
    pub replayed_records: u64,
    /// Letters that were damaged on disk.
    pub damaged: u64,
}
