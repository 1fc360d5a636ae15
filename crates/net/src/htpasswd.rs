//! The users of an htpasswd file: names with passwords, plain or hashed by bcrypt.
//!
//! A bcrypt hash takes tens of milliseconds to check, on purpose. So it is checked off the workers that serve requests, a few at a time,
//! and of each user the password that was right last is kept: who sends again pays a comparison in constant time.
//!
//! Invariants: as many passwords are kept as there are users; neither passwords nor hashes are ever in a message; an unknown hash is an
//! error when the file is read, never compared as text.

use config::Secret;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;

/// Hashes of one file that are checked at once. More senders with wrong passwords wait for one another.
const AT_ONCE: usize = 2;

/// The most rounds of bcrypt (2 to this power) that are taken: about a second.
const MAX_COST: u32 = 14;

/// Users and their passwords.
pub struct Htpasswd {
    users: HashMap<String, Password>,
    checks: Arc<Semaphore>,
}

enum Password {
    Plain(Secret),
    Bcrypt {
        hash: Secret,
        /// The password that was right last.
        right: Mutex<Option<Secret>>,
    },
}

impl fmt::Debug for Htpasswd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Htpasswd({} users)", self.users.len())
    }
}

impl Htpasswd {
    /// Reads the lines of a file: `user:password` each, and comments. Of two lines of one user the last counts.
    ///
    /// # Errors
    /// What is wrong, and in which line.
    pub fn parse(text: &str) -> Result<Htpasswd, String> {
        let mut users = HashMap::new();
        for (i, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |what: &str| format!("line {}: {what}", i + 1);
            let (user, password) = line.split_once(':').ok_or_else(|| wrong("a line is `user:password`"))?;
            if user.is_empty() || password.is_empty() {
                return Err(wrong("neither the user nor the password may be empty"));
            }
            users.insert(user.to_owned(), Password::parse(password).map_err(wrong)?);
        }
        if users.is_empty() {
            return Err("there is no user in it".to_owned());
        }
        Ok(Htpasswd { users, checks: Arc::new(Semaphore::new(AT_ONCE)) })
    }

    /// Whether this is the user's password.
    pub async fn allows(&self, user: &str, password: &str) -> bool {
        let (hash, right) = match self.users.get(user) {
            None => return false,
            Some(Password::Plain(own)) => return own.expose().as_bytes().ct_eq(password.as_bytes()).into(),
            Some(Password::Bcrypt { hash, right }) => (hash, right),
        };
        let is_known = |own: &Secret| bool::from(own.expose().as_bytes().ct_eq(password.as_bytes()));
        if right.lock().as_ref().is_some_and(is_known) {
            return true;
        }
        // Never closed.
        let Ok(_turn) = self.checks.acquire().await else { return false };
        let (hash, given) = (hash.clone(), Secret::new(password));
        let check = tokio::task::spawn_blocking(move || bcrypt::verify(given.expose(), hash.expose()));
        let allowed = matches!(check.await, Ok(Ok(true)));
        if allowed {
            *right.lock() = Some(Secret::new(password));
        }
        allowed
    }
}

impl Password {
    fn parse(text: &str) -> Result<Password, &'static str> {
        if ["$2a$", "$2b$", "$2x$", "$2y$"].iter().any(|mark| text.starts_with(mark)) {
            let cost = text.parse::<bcrypt::HashParts>().map_err(|_| "not a hash of bcrypt")?.get_cost();
            if cost > MAX_COST {
                return Err("the cost of the bcrypt hash is above 14: each check would take seconds");
            }
            return Ok(Password::Bcrypt { hash: Secret::new(text), right: Mutex::default() });
        }
        if text.starts_with('$') || ["{SHA}", "{SSHA}"].iter().any(|mark| text.starts_with(mark)) {
            return Err("only plain passwords and bcrypt are known; make the line anew with `htpasswd -B`");
        }
        Ok(Password::Plain(Secret::new(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of "hunter2", made by `htpasswd -nbB -C 4`, and by others with other marks.
    fn hashed() -> String {
        bcrypt::hash("hunter2", 4).unwrap()
    }

    /// Scenario: several users, plain and with each mark of bcrypt. Guarantee: each password opens for its own user only, and again.
    #[tokio::test]
    async fn every_user_has_a_password_of_their_own() {
        let hash = hashed();
        let text = format!(
            "# who\nplain:pass:word\n\nyou:{}\nold:{}\n",
            hash.replacen("$2b$", "$2y$", 1),
            hash.replacen("$2b$", "$2a$", 1)
        );
        let users = Htpasswd::parse(&text).unwrap();
        for _ in 0..2 {
            assert!(users.allows("plain", "pass:word").await);
            assert!(users.allows("you", "hunter2").await && users.allows("old", "hunter2").await);
            assert!(!users.allows("you", "hunter3").await && !users.allows("plain", "hunter2").await);
            assert!(!users.allows("nobody", "hunter2").await && !users.allows("you", &hash).await);
        }
    }

    /// Scenario: a right password that was seen before, while every place for checks is taken. Guarantee: it opens without a check; one
    /// that was not seen waits.
    #[tokio::test]
    async fn a_known_password_is_not_checked_again() {
        let users = Htpasswd::parse(&format!("you:{}\nme:{}", hashed(), hashed())).unwrap();
        assert!(users.allows("you", "hunter2").await);
        let _all = users.checks.acquire_many(AT_ONCE as u32).await.unwrap();
        assert!(users.allows("you", "hunter2").await);
        let mut other = Box::pin(users.allows("me", "hunter2"));
        assert!(futures_util::poll!(&mut other).is_pending());
    }

    /// Scenario: lines that cannot be checked. Guarantee: an error with the line, and no password in it.
    #[test]
    fn what_cannot_be_checked_is_an_error() {
        for (text, line) in [
            ("", "no user"),
            ("a:b\nhunter2", "line 2"),
            (":hunter2", "line 1"),
            ("u:", "line 1"),
            ("u:$apr1$hunter2", "htpasswd -B"),
            ("u:{SHA}hunter2", "htpasswd -B"),
            ("u:$2y$05$hunter2", "not a hash"),
            ("u:$2b$31$DCq7YPn5Rq63x1Lad4cll.TV4S6ytwfsfvkY8jIucDrjc8deX1s.", "not a hash"),
        ] {
            let error = Htpasswd::parse(text).unwrap_err();
            assert!(error.contains(line) && !error.contains("hunter2"), "{text}: {error}");
        }
        let costly = hashed().replacen("$04$", "$15$", 1);
        assert!(Htpasswd::parse(&format!("u:{costly}")).unwrap_err().contains("above 14"));
    }
}
