//! Passwords: argon2id, off the async threads, so many at once and no more.

use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::ApiError;
use crate::config::admin_settings::Passwords as Settings;
use crate::types::Secret;

/// The most characters of a password: longer ones only cost time.
pub const LONGEST: usize = 256;

/// Hashes and checks passwords.
#[derive(Clone)]
pub struct Passwords {
    argon2: Argon2<'static>,
    min_length: usize,
    running: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    /// The hash of a password nobody has: checked for accounts that do not exist, so that they take as long.
    nobody: Arc<str>,
}

impl Passwords {
    /// Computes one hash, so it takes a moment.
    pub fn new(settings: &Settings) -> Result<Self, ApiError> {
        let kib = u32::try_from(settings.memory.get() >> 10).unwrap_or(u32::MAX);
        let params = Params::new(kib, settings.passes, 1, None).map_err(|error| ApiError::internal(&error))?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let nobody = hash_now(&argon2, &super::secrets::session_secret()?)?;
        let permits = |count: u32| Arc::new(Semaphore::new(usize::try_from(count).unwrap_or(1).max(1)));
        Ok(Self {
            argon2,
            min_length: usize::try_from(settings.min_length).unwrap_or(12).max(12),
            running: permits(settings.at_once),
            waiting: permits(settings.at_once.saturating_add(settings.waiting)),
            nobody: nobody.into(),
        })
    }

    /// Whether a new password is good enough for an account of that name.
    pub fn accept(&self, password: &Secret, account: &str) -> Result<(), ApiError> {
        let (text, least) = (password.expose(), self.min_length);
        let length = text.chars().count();
        if length < least || length > LONGEST {
            let told = format!("A password has {least} to {LONGEST} characters.");
            return Err(ApiError::invalid("weak_password", told));
        }
        let lower = text.to_lowercase();
        let first = lower.chars().next();
        if lower.contains(&account.to_lowercase()) || lower.chars().all(|c| Some(c) == first) {
            let told = "A password does not contain the account's name and is not one character repeated.";
            return Err(ApiError::invalid("weak_password", told));
        }
        Ok(())
    }

    /// The hash to store, as a PHC string.
    pub async fn hash(&self, password: Secret) -> Result<String, ApiError> {
        let argon2 = self.argon2.clone();
        self.run(move || hash_now(&argon2, password.expose())).await?
    }

    /// Whether `password` is the one behind `hash`. Without a hash the answer is no, after the same time.
    pub async fn verify(&self, password: Secret, hash: Option<String>) -> Result<bool, ApiError> {
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.nobody.to_string());
        let argon2 = self.argon2.clone();
        let matches = self
            .run(move || match PasswordHash::new(&hash) {
                Ok(parsed) => argon2.verify_password(password.expose().as_bytes(), &parsed).is_ok(),
                Err(_) => false,
            })
            .await?;
        Ok(known && matches)
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
        let busy = || ApiError::unavailable("busy", "Too many people sign in at once: try again in a moment.");
        let waiting = Arc::clone(&self.waiting).try_acquire_owned().map_err(|_| busy())?;
        let running = Arc::clone(&self.running).acquire_owned().await.map_err(|_| busy())?;
        // The permits go along, so that a caller who leaves does not make room before the work has ended.
        let permits: (OwnedSemaphorePermit, OwnedSemaphorePermit) = (waiting, running);
        let work = move || {
            let done = work();
            drop(permits);
            done
        };
        tokio::task::spawn_blocking(work).await.map_err(|error| ApiError::internal(&error))
    }
}

fn hash_now(argon2: &Argon2<'_>, password: &str) -> Result<String, ApiError> {
    let hash = argon2.hash_password(password.as_bytes()).map_err(|error| ApiError::internal(&error))?;
    Ok(hash.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_checked_against_its_hash_and_nobody_has_one() {
        let passwords = Passwords::new(&Settings::default()).unwrap();
        let secret = || Secret::new("correct horse battery");
        let hash = passwords.hash(secret()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(passwords.verify(secret(), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify(Secret::new("correct horse batterz"), Some(hash)).await.unwrap());
        assert!(!passwords.verify(secret(), None).await.unwrap());
        assert!(!passwords.verify(secret(), Some("no hash".into())).await.unwrap());
    }

    #[tokio::test]
    async fn more_at_once_than_may_wait_are_told_to_come_back() {
        let settings = Settings { at_once: 1, waiting: 1, ..Settings::default() };
        let passwords = Passwords::new(&settings).unwrap();
        let tries = (0..6).map(|_| {
            let passwords = passwords.clone();
            tokio::spawn(
                async move { passwords.verify(Secret::new("wrong"), None).await.map_err(|error| error.code()) },
            )
        });
        let mut told = Vec::new();
        for one in tries.collect::<Vec<_>>() {
            told.push(one.await.unwrap());
        }
        assert!(told.contains(&Ok(false)) && told.contains(&Err("busy")), "{told:?}");
    }

    #[test]
    fn short_and_obvious_passwords_are_refused() {
        let passwords = Passwords::new(&Settings::default()).unwrap();
        let accept = |text: &str| passwords.accept(&Secret::new(text), "annabel").is_ok();
        assert!(accept("correct horse battery"));
        assert!(!accept("elevenchars"));
        assert!(!accept("aaaaaaaaaaaaaaaa"));
        assert!(!accept("my-AnnaBel-password"));
        assert!(!accept(&"ab".repeat(129)));
    }
}
