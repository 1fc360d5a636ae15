//! Things that many pipelines have alike, kept once for the process: compiled expressions, templates, names.
//!
//! Pipelines of tenants are copies of each other more often than not. What they share takes memory once, and stays in the cache
//! when entries go from one pipeline to the next. Whoever uses a thing keeps it alive; when nobody does, it is gone.

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, LazyLock, Weak};

/// Things by what they are made from.
pub(crate) struct Shared<K, V>(LazyLock<Mutex<HashMap<K, Weak<V>, RandomState>>>);

impl<K: Eq + Hash, V> Shared<K, V> {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self(LazyLock::new(Mutex::default))
    }

    /// The thing of this key, made now if there is none.
    pub fn get<E>(&self, key: K, make: impl FnOnce(&K) -> Result<V, E>) -> Result<Arc<V>, E> {
        if let Some(known) = self.0.lock().get(&key).and_then(Weak::upgrade) {
            return Ok(known);
        }
        // Made without the lock: it may take long, and two that are alike do no harm.
        let made = Arc::new(make(&key)?);
        let mut all = self.0.lock();
        if all.len() >= 1024 && all.len().is_power_of_two() {
            all.retain(|_, weak| weak.strong_count() > 0);
        }
        all.insert(key, Arc::downgrade(&made));
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Equal keys have one thing while it is in use, and a new one after; a failure is not kept.
    #[test]
    fn equal_things_are_one() {
        static ALL: Shared<String, u8> = Shared::new();
        let make = |key: &String| key.parse::<u8>();
        let (one, two) = (ALL.get("7".into(), make).unwrap(), ALL.get("7".into(), make).unwrap());
        assert!(Arc::ptr_eq(&one, &two));
        assert!(ALL.get("x".into(), make).is_err() && ALL.get("x".into(), |_| Ok::<_, ()>(1)).is_ok());
        drop((one, two));
        assert_eq!(*ALL.get("7".into(), |_| Ok::<_, ()>(8)).unwrap(), 8);
    }
}
