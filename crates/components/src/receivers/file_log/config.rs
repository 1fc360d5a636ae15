//! The keys of the receiver: the collector's, with its defaults, and what each means to [`tail`] and to the source.

use config::size::ByteSize;
use config::{ComponentId, GoDuration, Report, Validate};
use flow::SourceConfig;
use flow::retry::RetryConfig;
use operators::{Chain, Wrong};
use serde::Deserialize;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::time::Duration;
use tail::walk::Walk;
use tail::{Compression, ConfigError, Encoding, Multiline, StartAt, Where};

/// The keys.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Patterns of the paths of files. Required.
    pub include: Vec<String>,
    /// Patterns of the paths that are left out.
    pub exclude: Vec<String>,
    /// Files that were not changed for so long are left out. Default 0: none.
    pub exclude_older_than: GoDuration,
    /// Where files are begun that were there before the first start.
    pub start_at: Start,
    /// Between two looks at a file that grows. Default 200 ms.
    pub poll_interval: GoDuration,
    /// First bytes by which a file is known again. Default 1000.
    pub fingerprint_size: ByteSize,
    /// No effect: the buffer is as large as it has to be.
    pub initial_buffer_size: Option<ByteSize>,
    /// The longest record; what is longer becomes several. Default 1 MiB.
    pub max_log_size: ByteSize,
    /// Files that are open at once. Default 1024.
    pub max_concurrent_files: usize,
    /// No effect: files take turns.
    pub max_batches: Option<usize>,
    /// What text the bytes are. Default utf-8.
    pub encoding: String,
    /// What joins lines to one record.
    pub multiline: Multi,
    /// An end without a line end is a record after so long. Default 500 ms; 0: never.
    pub force_flush_period: GoDuration,
    /// Whether `log.file.name` is an attribute. Default true.
    pub include_file_name: bool,
    /// Whether `log.file.path` is.
    pub include_file_path: bool,
    /// Whether `log.file.name_resolved` is, the name behind links.
    pub include_file_name_resolved: bool,
    /// Whether `log.file.path_resolved` is.
    pub include_file_path_resolved: bool,
    /// Refused if it is true.
    pub include_file_owner_name: bool,
    /// Refused if it is true.
    pub include_file_owner_group_name: bool,
    /// Refused if it is true.
    pub include_file_record_number: bool,
    /// Whether `log.file.record_offset` is an attribute: where in the file the record begins.
    pub include_file_record_offset: bool,
    /// Whether white space at the beginning of a record stays.
    pub preserve_leading_whitespaces: bool,
    /// The same at its end.
    pub preserve_trailing_whitespaces: bool,
    /// Attributes of every record.
    pub attributes: BTreeMap<String, Json>,
    /// Attributes of the resource.
    pub resource: BTreeMap<String, Json>,
    /// Refused.
    pub header: Option<Json>,
    /// `gzip`: all files are; `auto`: those that begin so.
    pub compression: String,
    /// Whether a file is deleted once all of it was delivered.
    pub delete_after_read: bool,
    /// No effect: files are only read.
    pub acquire_fs_lock: bool,
    /// No effect: a file that was moved is known by more than its first bytes.
    pub polls_to_archive: Option<u64>,
    /// Refused.
    pub ordering_criteria: Option<Json>,
    /// The extension that keeps the positions over a restart.
    pub storage: Option<ComponentId>,
    /// When what failed is handed over again.
    pub retry_on_failure: Retry,
    /// What is done to records; see [`operators`].
    pub operators: Vec<Json>,
}

/// Where files are begun.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// With what is written from now on.
    #[default]
    End,
    /// With all that is in them.
    Beginning,
}

/// What joins lines.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Multi {
    /// Records begin where this is found,
    pub line_start_pattern: String,
    /// or end behind it.
    pub line_end_pattern: String,
    /// Whether what is found is left out.
    pub omit_pattern: bool,
}

/// When what failed is handed over again.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retry {
    /// Accepted: it is in any case.
    pub enabled: Option<bool>,
    /// The first wait. Default 1 s.
    pub initial_interval: GoDuration,
    /// The longest. Default 30 s.
    pub max_interval: GoDuration,
    /// When it is given up. Default 0: never.
    pub max_elapsed_time: GoDuration,
}

impl Default for Retry {
    fn default() -> Self {
        let RetryConfig { initial_interval, max_interval, max_elapsed_time, .. } = SourceConfig::default().retry;
        let [initial_interval, max_interval, max_elapsed_time] =
            [initial_interval, max_interval, max_elapsed_time].map(GoDuration);
        Retry { enabled: None, initial_interval, max_interval, max_elapsed_time }
    }
}

impl Default for Config {
    fn default() -> Self {
        let base = tail::Config::default();
        Config {
            include: vec![],
            exclude: vec![],
            exclude_older_than: GoDuration::default(),
            start_at: Start::End,
            poll_interval: GoDuration(base.poll),
            fingerprint_size: ByteSize(base.fingerprint as u64),
            initial_buffer_size: None,
            max_log_size: ByteSize(base.max_record as u64),
            max_concurrent_files: 1024,
            max_batches: None,
            encoding: "utf-8".to_owned(),
            multiline: Multi::default(),
            force_flush_period: GoDuration(base.flush_after),
            include_file_name: true,
            include_file_path: false,
            include_file_name_resolved: false,
            include_file_path_resolved: false,
            include_file_owner_name: false,
            include_file_owner_group_name: false,
            include_file_record_number: false,
            include_file_record_offset: false,
            preserve_leading_whitespaces: false,
            preserve_trailing_whitespaces: false,
            attributes: BTreeMap::new(),
            resource: BTreeMap::new(),
            header: None,
            compression: String::new(),
            delete_after_read: false,
            acquire_fs_lock: false,
            polls_to_archive: None,
            ordering_criteria: None,
            storage: None,
            retry_on_failure: Retry::default(),
            operators: vec![],
        }
    }
}

/// The shortest interval at which files are looked at.
const SHORTEST_POLL: Duration = Duration::from_millis(5);
/// A record of this size fits every exporter.
const LONGEST_RECORD: u64 = 16 << 20;

impl Config {
    /// How files are read.
    ///
    /// # Errors
    /// The first thing that cannot be, with its key.
    pub fn tail(&self) -> Result<tail::Config, (&'static str, ConfigError)> {
        let at = |key| move |error| (key, error);
        let multi = &self.multiline;
        let patterns = [
            ("multiline.line_start_pattern", &multi.line_start_pattern, Where::Start),
            ("multiline.line_end_pattern", &multi.line_end_pattern, Where::End),
        ];
        let pattern = patterns.into_iter().find(|(_, pattern, _)| !pattern.is_empty());
        let multiline = pattern
            .map(|(key, pattern, place)| Multiline::new(pattern, place, multi.omit_pattern).map_err(at(key)))
            .transpose()?;
        let poll = self.poll_interval.0.max(SHORTEST_POLL);
        let config = tail::Config {
            include: self.include.clone(),
            exclude: self.exclude.clone(),
            start_at: match self.start_at {
                Start::End => StartAt::End,
                Start::Beginning => StartAt::Beginning,
            },
            encoding: Encoding::named(&self.encoding).map_err(at("encoding"))?,
            multiline,
            max_record: self.max_log_size.bytes(),
            flush_after: self.force_flush_period.0,
            fingerprint: self.fingerprint_size.bytes(),
            poll,
            idle_poll: poll * 5,
            walk: poll * 5,
            max_open: self.max_concurrent_files,
            compression: match self.compression.as_str() {
                "gzip" => Compression::Gzip,
                "auto" => Compression::Auto,
                _ => Compression::None,
            },
            ..tail::Config::default()
        };
        config.check().map_err(|error| {
            let key = match &error {
                ConfigError::Nothing => "include",
                ConfigError::Multiline => "multiline",
                ConfigError::TooSmall { key, .. } => key,
                _ => "",
            };
            (key, error)
        })?;
        let is_excluded = |pattern: &String| self.exclude.contains(pattern);
        Walk::new(&config).map_err(|error| {
            let key = match &error {
                ConfigError::Glob { pattern, .. } if is_excluded(pattern) => "exclude",
                _ => "include",
            };
            (key, error)
        })?;
        Ok(config)
    }

    /// How the source behaves.
    #[must_use]
    pub fn source(&self) -> SourceConfig {
        let base = SourceConfig::default();
        let Retry { initial_interval, max_interval, max_elapsed_time, .. } = &self.retry_on_failure;
        let (initial_interval, max_interval, max_elapsed_time) =
            (initial_interval.0, max_interval.0, max_elapsed_time.0);
        SourceConfig { retry: RetryConfig { initial_interval, max_interval, max_elapsed_time, ..base.retry }, ..base }
    }

    /// Whether bodies are bytes and not text.
    #[must_use]
    pub fn gives_bytes(&self) -> bool {
        self.encoding.trim().eq_ignore_ascii_case("nop")
    }

    /// The operators, none if there are none, and what is wrong with them.
    #[must_use]
    pub fn chain<T: operators::Tag>(&self) -> (Option<Chain<T>>, Vec<Wrong>) {
        let (chain, wrong) = Chain::new(&self.operators);
        (chain.filter(|chain| !chain.is_empty()), wrong)
    }

    fn refuse(&self, report: &mut Report<'_>) {
        if self.header.is_some() {
            let text = "`header` is not supported: read the names of columns with `csv_parser` and a fixed `header`";
            report.error("header", text);
        }
        if self.ordering_criteria.is_some() {
            let text = "`ordering_criteria` is not supported: all files are read, each record once. Leave old ones \
                        out with `exclude_older_than`";
            report.error("ordering_criteria", text);
        }
        if self.include_file_record_number {
            let text = "not supported: a number would begin anew with each start. `include_file_record_offset` says \
                        for ever where a record is";
            report.error("include_file_record_number", text);
        }
        for (key, is_set) in [
            ("include_file_owner_name", self.include_file_owner_name),
            ("include_file_owner_group_name", self.include_file_owner_group_name),
        ] {
            if is_set {
                report.error(key, "not supported: owners have names in the user database of one machine only");
            }
        }
    }

    fn warn(&self, report: &mut Report<'_>) {
        if self.initial_buffer_size.is_some() {
            report.warning("initial_buffer_size", "has no effect: a buffer is as large as it has to be");
        }
        if self.max_batches.is_some() {
            report.warning("max_batches", "has no effect: files take turns, and none is left out");
        }
        if self.acquire_fs_lock {
            report.warning("acquire_fs_lock", "has no effect: files are only read");
        }
        if self.polls_to_archive.is_some() {
            report.warning("polls_to_archive", "has no effect: files that were moved are known again in any case");
        }
        if self.retry_on_failure.enabled == Some(false) {
            let text = "what fails is handed over again in any case: the file waits, and nothing of it is lost";
            report.warning("retry_on_failure.enabled", text);
        }
        if self.storage.is_none() {
            let from = match self.start_at {
                Start::End => "at the end of the files: what is written meanwhile is not read",
                Start::Beginning => "at the beginning of the files: what was read is read again",
            };
            report.warning(
                "",
                format!("without `storage` positions live as long as the process: a restart begins {from}"),
            );
        }
    }
}

impl Validate for Config {
    fn validate(&self, report: &mut Report<'_>) {
        if let Err((key, error)) = self.tail() {
            report.error(key, error.to_string());
        }
        let multi = &self.multiline;
        if !multi.line_start_pattern.is_empty() && !multi.line_end_pattern.is_empty() {
            report.error("multiline", "only one of `line_start_pattern` and `line_end_pattern` can be set");
        } else if report.is_in_use("multiline")
            && multi.line_start_pattern.is_empty()
            && multi.line_end_pattern.is_empty()
        {
            report.error("multiline", "one of `line_start_pattern` and `line_end_pattern` must be set");
        }
        if !["", "gzip", "auto"].contains(&self.compression.as_str()) {
            report.error("compression", "must be `gzip`, `auto` or empty");
        }
        if self.delete_after_read && self.start_at == Start::End {
            report.error("delete_after_read", "`delete_after_read` cannot be used with `start_at: end`");
        }
        if self.max_log_size.0 > LONGEST_RECORD {
            report.error("max_log_size", "must be at most 16MiB, so that every record fits a request");
        }
        for (key, map) in [("attributes", &self.attributes), ("resource", &self.resource)] {
            let is_expr = |value: &Json| value.as_str().is_some_and(|text| text.contains("EXPR("));
            if map.values().any(is_expr) {
                report.error(key, "`EXPR(…)` is not supported here: use the operator `add`");
            }
        }
        for wrong in self.chain::<super::Place>().1 {
            let path = format!("operators.{}", wrong.path);
            match wrong.is_warning {
                true => report.warning(&path, wrong.message),
                false => report.error(&path, wrong.message),
            }
        }
        for (i, operator) in self.operators.iter().enumerate() {
            let is_container = operator.get("type").and_then(Json::as_str) == Some("container");
            let by_path = operator.get("add_metadata_from_filepath").and_then(Json::as_bool).unwrap_or(true);
            if is_container && by_path && !self.include_file_path {
                let text = "`container` takes the pod from `log.file.path`: set `include_file_path: true`, or \
                            `add_metadata_from_filepath: false` here";
                report.error(&format!("operators.{i}"), text);
            }
        }
        self.refuse(report);
        self.warn(report);
    }
}
