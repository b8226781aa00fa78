//! Lists that are made into files: so many at once, and one of each account, from the first row to the last byte sent.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Who makes files.
pub(super) struct Files {
    places: Arc<Semaphore>,
    accounts: Arc<Mutex<BTreeSet<String>>>,
}

impl Files {
    /// So many at once.
    pub(super) fn new(most: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(most)), accounts: Arc::default() }
    }

    /// A place for a file of this account; `None` while it has one, or all are taken.
    pub(super) fn place(&self, account: &str) -> Option<Place> {
        let permit = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let is_first = self.accounts.lock().unwrap_or_else(PoisonError::into_inner).insert(account.to_owned());
        is_first.then(|| Place { _permit: permit, account: account.to_owned(), accounts: Arc::clone(&self.accounts) })
    }
}

/// The right to make a file, as long as it is held.
pub(in crate::console) struct Place {
    _permit: OwnedSemaphorePermit,
    account: String,
    accounts: Arc<Mutex<BTreeSet<String>>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.account);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_are_made_at_once_and_one_of_each_account() {
        let files = Files::new(2);
        let ada = files.place("ada").unwrap();
        assert!(files.place("ada").is_none(), "ada has one");
        let _bob = files.place("bob").unwrap();
        assert!(files.place("eve").is_none(), "both are taken");
        drop(ada);
        assert!(files.place("bob").is_none());
        assert!(files.place("eve").is_some() && files.place("ada").is_some());
    }
}
