//! Lockout: wrong passwords make an account and an address wait, longer with each one.
//!
//! A try is counted before it is made, so forty at once are no better than forty in a row. Names that belong to nobody
//! are counted like others, so waiting tells nothing. The counts live in this process and are bounded; what is signed
//! in already and API tokens are not touched, so nobody is locked out of the gateway by someone who guesses.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use moka::sync::Cache;

use super::error::ApiError;
use crate::config::admin_settings::Lockout as Settings;

/// Counts wrong tries.
#[derive(Clone)]
pub struct Lockout {
    settings: Settings,
    accounts: Cache<String, Arc<Mutex<Count>>>,
    addresses: Cache<IpAddr, Arc<Mutex<Count>>>,
}

/// One account's or address's tries.
#[derive(Debug, Default)]
struct Count {
    tries: u32,
    /// Unix time in microseconds.
    until: i64,
}

/// A try that has been counted as wrong until it turns out right.
#[must_use]
pub struct Attempt {
    counts: [Option<Arc<Mutex<Count>>>; 2],
}

impl Lockout {
    /// Nobody has tried yet.
    pub fn new(settings: &Settings) -> Self {
        let forget = settings.forget_after.get().max(settings.longest_wait.get());
        Self {
            settings: settings.clone(),
            accounts: Cache::builder().max_capacity(settings.max_tracked).time_to_idle(forget).build(),
            addresses: Cache::builder().max_capacity(settings.max_tracked).time_to_idle(forget).build(),
        }
    }

    /// Counts a try at `now` (Unix time in microseconds), or says how long to wait.
    pub fn begin(&self, account: Option<&str>, address: Option<IpAddr>, now: i64) -> Result<Attempt, ApiError> {
        let account = account.map(|name| self.accounts.get_with(name.to_lowercase(), Arc::default));
        let address = address.map(|address| self.addresses.get_with(network(address), Arc::default));
        // Both are looked at before one is counted: who has to wait for one does not make the other worse.
        for count in [&account, &address].into_iter().flatten() {
            let until = lock(count).until;
            if until > now {
                return Err(ApiError::later(micros(until.saturating_sub(now))));
            }
        }
        for (count, allowed) in [(&account, self.settings.per_account), (&address, self.settings.per_address)] {
            if let Some(count) = count {
                self.count(&mut lock(count), allowed, now);
            }
        }
        Ok(Attempt { counts: [account, address] })
    }

    fn count(&self, count: &mut Count, allowed: u32, now: i64) {
        count.tries = count.tries.saturating_add(1);
        if let Some(over) = count.tries.checked_sub(allowed) {
            let (first, longest) = (self.settings.first_wait.get(), self.settings.longest_wait.get());
            let wait = first.saturating_mul(1_u32.checked_shl(over.min(30)).unwrap_or(u32::MAX)).min(longest);
            count.until = now.saturating_add(i64::try_from(wait.as_micros()).unwrap_or(i64::MAX));
        }
    }
}

impl Attempt {
    /// It was right: the account's count begins anew. The address keeps its other tries, or somebody with one account
    /// could try the passwords of all others from there.
    pub fn succeeded(self) {
        let [account, address] = self.counts;
        if let Some(account) = account {
            *lock(&account) = Count::default();
        }
        if let Some(address) = address {
            let mut count = lock(&address);
            count.tries = count.tries.saturating_sub(1);
            count.until = 0;
        }
    }
}

fn lock(count: &Mutex<Count>) -> std::sync::MutexGuard<'_, Count> {
    count.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn micros(wait: i64) -> Duration {
    Duration::from_micros(u64::try_from(wait).unwrap_or(0))
}

/// Whoever has one IPv6 address has a /64 of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) & (u128::MAX << 64)).into()),
        four @ IpAddr::V4(_) => four,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    fn tries(lockout: &Lockout, name: &str, address: &str, now: i64) -> bool {
        lockout.begin(Some(name), Some(address.parse().unwrap()), now).is_ok()
    }

    #[test]
    fn wrong_tries_make_an_account_wait_longer_each_time() {
        let lockout = Lockout::new(&Settings::default());
        for _ in 0..5 {
            assert!(tries(&lockout, "ann", "192.0.2.1", 0));
        }
        assert!(!tries(&lockout, "ANN", "192.0.2.2", 0), "from another address, too");
        assert!(tries(&lockout, "bob", "192.0.2.1", 0), "others are not concerned");
        assert!(!tries(&lockout, "ann", "192.0.2.1", 2 * SECOND - 1));
        assert!(tries(&lockout, "ann", "192.0.2.1", 2 * SECOND));
        assert!(!tries(&lockout, "ann", "192.0.2.1", 6 * SECOND - 1));
        let error = lockout.begin(Some("ann"), None, 2 * SECOND).err().unwrap();
        assert_eq!(error.code(), "too_many_attempts");
    }

    #[test]
    fn an_address_that_tries_many_names_waits_and_a_right_password_does_not_wash_it_clean() {
        let lockout = Lockout::new(&Settings::default());
        for at in 0..19 {
            assert!(tries(&lockout, &format!("name{at}"), "2001:db8::1", 0));
        }
        lockout.begin(Some("mine"), Some("2001:db8::2".parse().unwrap()), 0).unwrap().succeeded();
        assert!(tries(&lockout, "name19", "2001:db8::3", 0));
        assert!(!tries(&lockout, "name20", "2001:db8::4", 0));
        assert!(tries(&lockout, "name20", "2001:db8:0:1::4", 0));
    }

    #[test]
    fn a_right_password_begins_the_account_anew() {
        let lockout = Lockout::new(&Settings::default());
        for _ in 0..3 {
            for _ in 0..4 {
                assert!(tries(&lockout, "ann", "192.0.2.1", 0));
            }
            lockout.begin(Some("ann"), None, 0).unwrap().succeeded();
        }
    }
}
