//! The program as a whole: from a configuration to what runs, and from there to the end.
//!
//! | to change | open |
//! |---|---|
//! | which components there are | [`components`] |
//! | what is said of components that do not exist here, and of feature gates | [`known`], [`gates`] |
//! | what a valid configuration is, and what it means | [`plan`] |
//! | how exporters and pipelines are put together | [`assemble`] |
//! | who holds the directories of queues on disk | [`storage`] |
//! | how a receiver starts and ends | [`listening`] |
//! | how it all starts, and how it ends | [`service`] |
//! | how a new configuration takes the place of the old one | [`reload`] |
//! | when files count as changed | [`watch`] |
//! | the pages beside the pipelines: metrics and health | [`pages`] |
//! | what those pages look at | [`registry`], `view` |
//! | signals, exit codes, the start of the process | [`run`] |
//! | commands and their arguments | [`cli`] |
//! | `bywash` without arguments: its first words, its line | [`first_run`], [`summary`] |
//! | writing to the terminal | [`terminal`] |
//!
//! Invariant: a reload or a stop loses no record silently: each is delivered, refused or reported. It knows no protocol.

pub mod assemble;
pub mod cli;
pub mod components;
pub mod first_run;
pub mod gates;
pub mod known;
pub mod listening;
pub mod pages;
pub mod plan;
pub mod registry;
pub mod reload;
pub mod run;
pub mod service;
pub mod storage;
pub mod summary;
pub mod terminal;
mod view;
pub mod watch;

#[cfg(test)]
mod tests;
