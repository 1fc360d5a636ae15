//! What one sender among many may hold of the budget.
//!
//! The rule is that of lanes ([`crate::ledger`]): a multiple of what is *free*. So the bound of each falls as all together fill up: one tenant
//! that floods is stopped at its share, and any number of them leave something for the next. With a share s of the limit L a tenant of weight 1
//! may hold s / (1 − s) × (L − what all hold), which is s × L if nobody else holds anything.
//!
//! Invariants: as many accounts as there may be at most; an account that something is booked on is not forgotten.

use super::Account;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// What tenants may hold.
#[derive(Clone, Debug, PartialEq)]
pub struct TenantsConfig {
    /// The part of the budget, above 0 up to 1, that one tenant may hold if nobody else holds anything. 1: tenants have no bound.
    pub share: f64,
    /// Tenants that are told apart; further ones share one account.
    pub most: usize,
    /// Those that may hold so many times what the others may.
    pub weights: BTreeMap<String, f64>,
}

impl Default for TenantsConfig {
    /// Half of the budget, ten thousand tenants, all alike.
    fn default() -> Self {
        TenantsConfig { share: 0.5, most: 10_000, weights: BTreeMap::new() }
    }
}

/// A tenant, or all those beyond [`TenantsConfig::most`].
#[derive(Debug, Default)]
pub(super) struct Tenant {
    name: Arc<str>,
    pub account: Account,
}

impl Tenant {
    /// How many times what is free it may hold.
    fn multiple(&self, rules: &TenantsConfig) -> f64 {
        let weight = if rules.weights.is_empty() { None } else { rules.weights.get(&*self.name) };
        weight.unwrap_or(&1.0) * rules.share / (1.0 - rules.share)
    }

    /// What it may hold where all together hold `used` of `limit`.
    pub fn bound(&self, rules: &TenantsConfig, limit: u64, used: u64) -> u64 {
        if rules.share >= 1.0 {
            return limit;
        }
        (limit.saturating_sub(used) as f64 * self.multiple(rules)) as u64
    }

    /// What it may hold if nobody else holds anything.
    pub fn most(&self, rules: &TenantsConfig, limit: u64) -> u64 {
        if rules.share >= 1.0 {
            return limit;
        }
        let multiple = self.multiple(rules);
        (limit as f64 * multiple / (1.0 + multiple)) as u64
    }
}

/// All tenants that hold something.
#[derive(Debug, Default)]
pub(super) struct Tenants {
    known: Mutex<HashMap<Arc<str>, Arc<Tenant>>>,
    others: Arc<Tenant>,
}

impl Tenants {
    pub fn get(&self, name: &str, rules: &TenantsConfig) -> Arc<Tenant> {
        let mut known = self.known.lock();
        if let Some(tenant) = known.get(name) {
            return tenant.clone();
        }
        if known.len() >= rules.most {
            known.retain(|_, t| t.account.requests.load(Relaxed) > 0 || Arc::strong_count(t) > 1);
        }
        if known.len() >= rules.most {
            return self.others.clone();
        }
        let name: Arc<str> = name.into();
        let tenant = Arc::new(Tenant { name: name.clone(), account: Account::default() });
        known.insert(name, tenant.clone());
        tenant
    }

    pub fn len(&self) -> usize {
        self.known.lock().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Budget, BudgetConfig, Kind};

    fn told_apart(bytes: u64, weights: &[(&str, f64)]) -> Budget {
        let weights = weights.iter().map(|(name, weight)| ((*name).to_owned(), *weight)).collect();
        let tenants = Some(Arc::new(TenantsConfig { weights, ..TenantsConfig::default() }));
        Budget::new(BudgetConfig { bytes, request_cost: 0, tenants, ..BudgetConfig::default() })
    }

    /// Bytes that a tenant gets, one by one, until it is refused.
    fn flood(budget: &Budget, name: &str) -> (u64, Vec<crate::budget::Permit>) {
        let mut held = vec![];
        loop {
            let one = budget.open(Some(name)).and_then(|mut permit| permit.grow(1).map(|()| permit));
            match one {
                Ok(permit) => held.push(permit),
                Err(refusal) => {
                    assert_eq!(refusal.why.kind, Kind::TenantShare);
                    return (held.len() as u64, held);
                }
            }
        }
    }

    /// Scenario: n tenants flood in turn, each until it is refused. Guarantee: the first gets its share, each further one half of what is free, so that
    /// something is left for the next, whatever n is.
    #[test]
    fn any_number_of_tenants_leave_room() {
        let budget = told_apart(1 << 20, &[]);
        let mut free: u64 = 1 << 20;
        let mut all = vec![];
        for n in 0..12 {
            let (got, held) = flood(&budget, &format!("t{n}"));
            assert!(got.abs_diff(free / 2) <= 1 || free == 1, "{n}: {got} of {free}");
            free -= got;
            all.push(held);
        }
    }

    /// Scenario: a tenant of weight 3 and one of weight 1 always want more, and a tenth of what each holds is delivered again and again. Guarantee: the one
    /// comes to hold almost three times what the other does, whoever began.
    #[test]
    fn a_weight_is_a_multiple() {
        let budget = told_apart(10_000, &[("large", 3.0)]);
        let (_, held) = flood(&budget, "small");
        let mut held = [vec![], held];
        for _ in 0..60 {
            held.iter_mut().for_each(|held| held.truncate(held.len() * 9 / 10));
            let mut wants = [true, true];
            while wants != [false, false] {
                for (n, name) in
                    ["large", "small"].into_iter().enumerate().filter(|(n, _)| wants[*n]).collect::<Vec<_>>()
                {
                    match budget.open(Some(name)).and_then(|mut permit| permit.grow(1).map(|()| permit)) {
                        Ok(permit) => held[n].push(permit),
                        Err(_) => wants[n] = false,
                    }
                }
            }
        }
        let ratio = held[0].len() as f64 / held[1].len() as f64;
        assert!((2.4..=3.1).contains(&ratio), "{ratio}");
    }

    /// Scenario: a body that is larger than a tenant could ever hold. Guarantee: it is told that coming back does not help.
    #[test]
    fn what_is_larger_than_the_share_is_told_so() {
        let budget = told_apart(1000, &[("large", 3.0)]);
        let refused = |name, n| budget.open(Some(name)).unwrap().grow(n).unwrap_err();
        assert_eq!((refused("small", 501).why.kind, refused("large", 751).why.kind), (Kind::TooLarge, Kind::TooLarge));
        assert!(budget.open(Some("large")).unwrap().grow(750).is_ok());
    }
}
