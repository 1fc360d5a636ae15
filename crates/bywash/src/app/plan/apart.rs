//! What is asked of the origin of requests: by exporters, whose batches it divides, and by processors.

use super::auth::AuthPlan;
use super::{OutletPlan, PipelinePlan};
use crate::app::components::DestinationConfig;
use components::exporters::Apart;
use components::processors::batch;
use net::origin;
use std::sync::Arc;

/// What is said of who asks for headers that nobody keeps.
pub(super) const NO_METADATA: &str =
    "asks for headers of senders, and no receiver of this pipeline keeps them: set `include_metadata`";

/// What is asked of the origin of requests, by all together.
pub(super) fn wanted(outlets: &[OutletPlan], pipelines: &[PipelinePlan]) -> Arc<[Arc<str>]> {
    let stages = pipelines.iter().flat_map(|pipeline| &pipeline.stages);
    let mut names: Vec<Arc<str>> = stages.flat_map(|stage| stage.config.wanted()).collect();
    names.extend(outlets.iter().flat_map(|outlet| outlet.apart.names.iter().cloned()));
    names.sort();
    names.dedup();
    names.into()
}

impl OutletPlan {
    /// Adds what keeps its requests apart: its own keys, those of a `batch` processor, and what its authenticator takes from senders.
    pub(super) fn keep_apart(&mut self, batch: Option<&batch::Config>) {
        let own = match &self.config {
            DestinationConfig::Exporter(config) => config.partition().map(|partition| &partition.metadata_keys),
            DestinationConfig::Summary => None,
        };
        let keys = own.into_iter().chain(batch.map(|batch| &batch.metadata_keys)).flatten();
        let shown = self.auth.as_ref().map(AuthPlan::wanted).unwrap_or_default();
        let mut names: Vec<Arc<str>> = keys.map(|key| origin::header(key)).chain(shown).collect();
        names.extend(self.apart.names.iter().cloned());
        names.sort();
        names.dedup();
        let limit = batch.filter(|batch| !batch.metadata_keys.is_empty()).map(|batch| batch.metadata_cardinality_limit);
        self.apart = Apart { names: names.into(), limit: limit.unwrap_or(self.apart.limit) };
    }
}
