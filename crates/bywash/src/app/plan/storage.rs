//! Which exporters keep their queues on disk, and where.

use crate::app::components::{DestinationConfig, ExtensionConfig, ReceiverConfig};
use components::exporters;
use components::extensions::file_storage::{self, names};
use config::path::Path;
use config::suggest::nearest;
use config::{Component, ComponentId, Diagnostic, Diagnostics};
use std::collections::{HashMap, HashSet};
use std::path::{Path as FilePath, PathBuf};
use wire::Signal;

/// A storage extension that runs.
#[derive(Clone, Debug, PartialEq)]
pub struct StoragePlan {
    /// Its id.
    pub id: ComponentId,
    /// Its keys.
    pub config: file_storage::Config,
}

/// The storage extensions of the service, each with a directory of its own.
pub(super) fn running(
    enabled: &[ComponentId],
    extensions: &HashMap<ComponentId, ExtensionConfig>,
    components: &[Component<'_>],
    diagnostics: &mut Diagnostics,
) -> Vec<StoragePlan> {
    let mut plans: Vec<StoragePlan> = vec![];
    let mut seen = HashSet::new();
    for id in enabled.iter().filter(|id| seen.insert(*id)) {
        let Some(ExtensionConfig::FileStorage(config)) = extensions.get(id) else { continue };
        let same = |other: &&StoragePlan| resolved(&other.config.directory) == resolved(&config.directory);
        if let Some(other) = plans.iter().find(same) {
            let message = format!("`{}` is the directory of `{}` already", config.directory, other.id);
            if let Some(component) = components.iter().find(|c| c.id == *id) {
                report(component, "directory", Diagnostic::error(message), diagnostics);
            }
        }
        plans.push(StoragePlan { id: id.clone(), config: config.as_ref().clone() });
    }
    plans
}

/// The directory without detours, as far as it is there.
fn resolved(directory: &str) -> PathBuf {
    std::fs::canonicalize(directory).unwrap_or_else(|_| FilePath::new(directory).components().collect())
}

/// Which storage each exporter's queue is kept in. What is wrong with the references is in `diagnostics`.
pub(super) fn references(
    exporters: &HashMap<ComponentId, DestinationConfig>,
    components: &[Component<'_>],
    running: &[StoragePlan],
    extensions: &[Component<'_>],
    diagnostics: &mut Diagnostics,
) -> HashMap<ComponentId, file_storage::Config> {
    let mut found = HashMap::new();
    for component in components {
        let Some(DestinationConfig::Exporter(config)) = exporters.get(&component.id) else { continue };
        let Some((key, id)) = config.stored_in() else { continue };
        if names::encode(&component.id.to_string()).len() > names::LONGEST {
            let message = "the id of this exporter is too long to name a directory of its storage";
            report(component, key, Diagnostic::error(message), diagnostics);
        }
        match running.iter().find(|plan| plan.id == *id) {
            Some(plan) => drop(found.insert(component.id.clone(), plan.config.clone())),
            None => report(component, key, dangling(id, extensions), diagnostics),
        }
    }
    found
}

/// Which storage each receiver that pulls keeps its positions in. What is wrong with the references is in `diagnostics`.
pub(super) fn positions(
    receivers: &HashMap<ComponentId, ReceiverConfig>,
    components: &[Component<'_>],
    running: &[StoragePlan],
    extensions: &[Component<'_>],
    diagnostics: &mut Diagnostics,
) -> HashMap<ComponentId, file_storage::Config> {
    let mut found = HashMap::new();
    for component in components {
        let Some(id) = receivers.get(&component.id).and_then(ReceiverConfig::stored_in) else { continue };
        if names::encode(&component.id.to_string()).len() > names::LONGEST {
            let message = "the id of this receiver is too long to name a directory of its storage";
            report(component, "storage", Diagnostic::error(message), diagnostics);
        }
        match running.iter().find(|plan| plan.id == *id) {
            Some(plan) => drop(found.insert(component.id.clone(), plan.config.clone())),
            None => report(component, "storage", dangling(id, extensions), diagnostics),
        }
    }
    found
}

/// The id whose queue an exporter takes: its own, or the one it would have by another name of its type. People rename an exporter when
/// a name is deprecated; what waits on disk comes along, unless there is a queue by the new name too or the old id is still configured.
pub(super) fn queue_of(
    id: &ComponentId,
    signal: Signal,
    config: &file_storage::Config,
    components: &[Component<'_>],
) -> ComponentId {
    let has_queue = |id: &ComponentId| config.storage(id, signal).directory.is_dir();
    let Some(kind) =
        exporters::KINDS.iter().find(|kind| kind.name == id.kind || kind.aliases.contains(&id.kind.as_str()))
    else {
        return id.clone();
    };
    if has_queue(id) {
        return id.clone();
    }
    let names = std::iter::once(&kind.name).chain(kind.aliases).filter(|name| **name != id.kind);
    let others = names.map(|name| ComponentId { kind: (*name).to_owned(), name: id.name.clone() });
    let is_configured = |id: &ComponentId| components.iter().any(|component| component.id == *id);
    others.into_iter().find(|other| !is_configured(other) && has_queue(other)).unwrap_or_else(|| id.clone())
}

/// What is wrong with a reference to something that is no running storage.
fn dangling(id: &ComponentId, extensions: &[Component<'_>]) -> Diagnostic {
    let is_storage = |c: &&Component<'_>| c.kind == file_storage::KIND;
    match extensions.iter().find(|c| c.id == *id) {
        None => {
            let names: Vec<String> = extensions.iter().filter(is_storage).map(|c| c.id.to_string()).collect();
            let suggestion = nearest(&id.to_string(), names.iter().map(String::as_str));
            Diagnostic::error(format!("references storage extension `{id}` which is not configured"))
                .suggest(suggestion)
        }
        Some(component) if !is_storage(&component) => {
            Diagnostic::error(format!("the extension `{id}` is not a storage extension"))
        }
        // A storage that runs was found before, or its own errors are told.
        Some(_) => Diagnostic::error(format!("storage extension `{id}` is not in `service.extensions`")),
    }
}

fn report(component: &Component<'_>, key: &str, diagnostic: Diagnostic, diagnostics: &mut Diagnostics) {
    let place = component.at.node.place(&Path::root().dotted(key));
    diagnostics.push(diagnostic.at(place, &component.at.path.dotted(key)));
}

#[cfg(test)]
mod tests;
