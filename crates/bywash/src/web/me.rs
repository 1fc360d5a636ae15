//! `/api/me`: who asks, and what there is.

use super::server::Asked;
use super::{Web, answer, nanos};
use answer::Answer;
use components::exporters::store::DEFAULT_TENANT;
use http::StatusCode;
use net::tokens::Tenants;
use serde_json::{Map, Value, json};

/// Answers.
///
/// # Errors
/// There is a parameter that nobody knows.
pub async fn answer(web: &Web, asked: Asked) -> Answer {
    asked.question.asked.end()?;
    let tenants = match &*asked.tenants {
        Tenants::Of(names) => names.clone(),
        Tenants::All => {
            let store = web.store();
            let known = match store {
                Some(store) => store.ask(|store, _| store.tenants()).await.unwrap_or_default(),
                None => vec![],
            };
            // It is there before anybody sends.
            if known.is_empty() { vec![DEFAULT_TENANT.to_owned()] } else { known }
        }
    };
    let tenant = asked.tenants.first(DEFAULT_TENANT);
    let uptime = u64::try_from(web.pipeline.health().uptime.as_nanos()).unwrap_or(u64::MAX);
    let places: Map<String, Value> = web.pipeline.addresses().into_iter().map(|(key, at)| (key, at.into())).collect();
    Ok(answer::json(
        StatusCode::OK,
        &json!({
            "version": env!("CARGO_PKG_VERSION"),
            "started": nanos().saturating_sub(uptime).to_string(),
            "tenant": tenant,
            "tenants": tenants,
            "needs_token": asked.is_known,
            "where": places,
        }),
    ))
}
