//! Which policy a request gets and why, for people.

use super::{Asking, Policies, Policy};

/// How a policy came to hold.
#[derive(Debug)]
pub struct Explained<'p> {
    /// Every policy that was looked at, in order; the last one holds.
    pub tried: Vec<Tried<'p>>,
}

/// One policy that was looked at.
#[derive(Debug)]
pub struct Tried<'p> {
    /// The policy.
    pub policy: &'p Policy,
    /// What kept it from matching (`tenant`, `model`, …); `None`: it holds.
    pub differs: Option<&'static str>,
}

impl Policies {
    /// How the policy of a request is found.
    pub fn explain(&self, asking: &Asking<'_>) -> Explained<'_> {
        let mut tried = Vec::new();
        for policy in &self.tried {
            let differs = policy.matches.differs(asking);
            tried.push(Tried { policy, differs });
            if differs.is_none() {
                return Explained { tried };
            }
        }
        tried.push(Tried { policy: &self.default, differs: None });
        Explained { tried }
    }
}

impl<'p> Explained<'p> {
    /// The policy that holds.
    pub fn holds(&self) -> Option<&'p Policy> {
        self.tried.last().map(|tried| tried.policy)
    }
}
