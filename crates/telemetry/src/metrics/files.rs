//! Receivers that read files: how many there are, how much of them is not read yet, and what went wrong.

use crate::exposition::Page;

/// One receiver.
#[derive(Clone, Debug, Default)]
pub struct FilesState {
    /// Its id.
    pub receiver: String,
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
    /// Times that an operator failed on a record.
    pub operator_failures: u64,
    /// What was wrong, and how often.
    pub troubles: Vec<(&'static str, u64)>,
}

pub(super) fn render(page: &mut Page, all: &[FilesState]) {
    for state in all {
        let labels = [("receiver", state.receiver.as_str())];
        page.gauge("otelcol_fileconsumer_open_files", "Files that are open.").add(&labels, state.open);
        page.gauge("bywash_file_known_files", "Files that are known.").add(&labels, state.files);
        page.gauge("bywash_file_left_out_files", "Files that are left out because there are too many.")
            .add(&labels, state.left_out);
        page.gauge("bywash_file_unread_bytes", "Bytes of files that are not read yet.")
            .add(&labels, state.unread_bytes);
        page.counter("bywash_file_lost_bytes", "Bytes of files that went away unread.").add(&labels, state.lost_bytes);
        page.counter("bywash_file_emptied", "Times that a file was emptied or overwritten.")
            .add(&labels, state.emptied);
        page.counter("bywash_file_moved", "Times that a file was moved.").add(&labels, state.moved);
        page.counter("bywash_file_operator_failures", "Times that an operator failed on a record.")
            .add(&labels, state.operator_failures);
        for (reason, times) in &state.troubles {
            page.counter("bywash_file_troubles", "Places at which something was wrong, by reason.")
                .add(&[labels[0], ("reason", reason)], *times);
        }
    }
}
