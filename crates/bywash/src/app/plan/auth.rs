//! Which authenticator each receiver asks and each exporter shows, and what of senders is kept for that.

use crate::app::components::{DestinationConfig, ExtensionConfig};
use components::extensions::authenticators::AuthConfig;
use config::path::Path;
use config::suggest::nearest;
use config::{Component, ComponentId, Diagnostic, Diagnostics, Document};
use net::auth::AuthError;
use net::client::auth::{Authenticator, Credentials, Road};
use std::collections::HashMap;
use std::sync::Arc;

/// An authenticator that an exporter shows, with the one that comes after it.
#[derive(Clone, Debug, PartialEq)]
pub struct AuthPlan {
    /// Its id.
    pub id: ComponentId,
    /// Its keys.
    pub config: AuthConfig,
    /// The next.
    pub next: Option<Box<AuthPlan>>,
}

impl AuthPlan {
    /// Its credentials.
    ///
    /// # Errors
    /// A file of it cannot be read.
    pub fn credentials(&self) -> Result<Credentials, AuthError> {
        Ok(Credentials::new(self.id.to_string(), self.build()?))
    }

    fn build(&self) -> Result<Arc<dyn Authenticator>, AuthError> {
        let next = self.next.as_ref().map(|next| next.build()).transpose()?;
        self.config.client(next)
    }

    /// What it asks of the origin of requests.
    #[must_use]
    pub fn wanted(&self) -> Vec<Arc<str>> {
        let next = self.next.as_ref().map(|next| next.wanted()).unwrap_or_default();
        self.config.wanted().into_iter().chain(next).collect()
    }
}

/// The authenticators among the extensions.
pub(super) struct Authenticators<'a> {
    pub document: &'a Document<'a>,
    pub extensions: &'a HashMap<ComponentId, ExtensionConfig>,
}

impl Authenticators<'_> {
    /// The authenticator of this id; if there is none, what is wrong, unless that has been told.
    fn find(&self, id: &ComponentId) -> Result<&AuthConfig, Option<Diagnostic>> {
        let service = &self.document.service;
        let is_enabled = service.extensions.contains(id);
        match self.extensions.get(id) {
            Some(ExtensionConfig::Authenticator(auth)) if is_enabled => Ok(auth.as_ref()),
            // What is wrong with it has been told.
            None if is_enabled && self.document.extensions.iter().any(|c| c.id == *id) => Err(None),
            _ => {
                let is_one =
                    |id: &&ComponentId| matches!(self.extensions.get(id), Some(ExtensionConfig::Authenticator(_)));
                let known: Vec<String> = service.extensions.iter().filter(is_one).map(ToString::to_string).collect();
                let message = format!("there is no authenticator `{id}` among the extensions of the service");
                let word = nearest(&id.to_string(), known.iter().map(String::as_str));
                Err(Some(Diagnostic::error(message).suggest(word)))
            }
        }
    }

    /// The authenticator that a receiver names at `key`.
    pub fn of_receiver(
        &self,
        component: &Component<'_>,
        (key, id): (&str, &ComponentId),
        diagnostics: &mut Diagnostics,
    ) -> Option<AuthConfig> {
        let wrong = match self.find(id) {
            Ok(auth) => match auth.refuses_receivers() {
                None => return Some(auth.clone()),
                Some(why) => Some(Diagnostic::error(format!("the authenticator `{id}` {why}"))),
            },
            Err(wrong) => wrong,
        };
        wrong.into_iter().for_each(|wrong| tell(component, key, wrong, diagnostics));
        None
    }

    /// The authenticators that exporters show.
    pub fn of_exporters(
        &self,
        exporters: &HashMap<ComponentId, DestinationConfig>,
        diagnostics: &mut Diagnostics,
    ) -> HashMap<ComponentId, AuthPlan> {
        let mut plans = HashMap::new();
        for component in &self.document.exporters {
            let Some(DestinationConfig::Exporter(config)) = exporters.get(&component.id) else { continue };
            let Some((key, id)) = config.authenticator() else { continue };
            match self.chain(id, config.road(), &mut vec![]) {
                Ok(plan) => drop(plans.insert(component.id.clone(), plan)),
                Err(wrong) => wrong.into_iter().for_each(|wrong| tell(component, key, wrong, diagnostics)),
            }
        }
        plans
    }

    fn chain(
        &self,
        id: &ComponentId,
        road: Road,
        before: &mut Vec<ComponentId>,
    ) -> Result<AuthPlan, Option<Diagnostic>> {
        let config = self.find(id)?;
        if before.contains(id) {
            return Err(Some(Diagnostic::error(format!("the authenticator `{id}` comes after itself"))));
        }
        if let Some(why) = config.refuses_exporters(road) {
            return Err(Some(Diagnostic::error(format!("the authenticator `{id}` {why}"))));
        }
        before.push(id.clone());
        let next = config.next().map(|next| self.chain(next, road, before)).transpose()?.map(Box::new);
        Ok(AuthPlan { id: id.clone(), config: config.clone(), next })
    }
}

fn tell(component: &Component<'_>, key: &str, diagnostic: Diagnostic, diagnostics: &mut Diagnostics) {
    let place = component.at.node.place(&Path::root().dotted(key));
    diagnostics.push(diagnostic.at(place, &component.at.path.dotted(key)));
}
