//! What a receiver has counted of its files, for those who look at it.

use parking_lot::Mutex;
use tail::{Stats, Trouble};

/// See the module.
#[derive(Debug, Default)]
pub struct FileStats(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    view: FileView,
    /// Of the readers before this one.
    past: Counts,
    /// Of this one.
    present: Counts,
}

/// Counters that only grow, while readers come and go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    lost_bytes: u64,
    emptied: u64,
    moved: u64,
    failures: u64,
    troubles: [u64; Trouble::ALL.len()],
}

/// A moment of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileView {
    /// Files that are known.
    pub files: u64,
    /// Of those, the ones that are open.
    pub open: u64,
    /// Files that are left out because there are too many.
    pub left_out: u64,
    /// Bytes that are not read yet.
    pub unread_bytes: u64,
    /// Bytes that went away unread.
    pub lost_bytes: u64,
    /// Times that a file was emptied or overwritten.
    pub emptied: u64,
    /// Times that a file was moved.
    pub moved: u64,
    /// Times that an operator failed.
    pub failures: u64,
    /// What was wrong, as in [`Trouble::ALL`].
    pub troubles: [u64; Trouble::ALL.len()],
}

impl FileStats {
    pub(super) fn set(&self, stats: Stats, unread: u64, troubles: [u64; Trouble::ALL.len()], failures: u64) {
        let mut inner = self.0.lock();
        let Stats { files, open, left_out, lost_bytes, emptied, moved, .. } = stats;
        inner.view = FileView { files, open, left_out, unread_bytes: unread, ..FileView::default() };
        inner.present = Counts { lost_bytes, emptied, moved, failures, troubles };
    }

    /// Another reader begins.
    pub(super) fn begin(&self) {
        let mut inner = self.0.lock();
        let Counts { lost_bytes, emptied, moved, failures, troubles } = std::mem::take(&mut inner.present);
        let past = &mut inner.past;
        past.lost_bytes += lost_bytes;
        past.emptied += emptied;
        past.moved += moved;
        past.failures += failures;
        past.troubles.iter_mut().zip(troubles).for_each(|(all, n)| *all += n);
    }

    /// How it is now.
    #[must_use]
    pub fn view(&self) -> FileView {
        let inner = self.0.lock();
        let (past, present) = (inner.past, inner.present);
        let mut troubles = past.troubles;
        troubles.iter_mut().zip(present.troubles).for_each(|(all, n)| *all += n);
        FileView {
            lost_bytes: past.lost_bytes + present.lost_bytes,
            emptied: past.emptied + present.emptied,
            moved: past.moved + present.moved,
            failures: past.failures + present.failures,
            troubles,
            ..inner.view
        }
    }
}
