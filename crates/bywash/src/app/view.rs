//! What the page of a store shows of the program.

use crate::app::service::Shared;
use crate::web::{Pipeline, Shape, State};
use components::extensions::file_storage::control::LetterBoxes;
use components::extensions::file_storage::letters::Boxed;
use std::path::Path;
use telemetry::health::Status;
use telemetry::metrics::BudgetState;

impl Pipeline for Shared {
    fn state(&self) -> State {
        State {
            budget: BudgetState::of(&self.budget),
            receivers: self.registry.receivers(),
            processors: self.registry.stages(),
            exporters: self.registry.exporters(),
        }
    }

    fn shapes(&self) -> Vec<Shape> {
        self.registry.shapes()
    }

    fn addresses(&self) -> Vec<(String, String)> {
        self.registry.addresses()
    }

    fn letters(&self) -> Vec<Boxed> {
        // Every directory is below the one without a name.
        self.registry.boxes(Path::new(""))
    }

    fn health(&self) -> Status {
        self.health.status(flow::clock::now())
    }
}
