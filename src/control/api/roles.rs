//! What each role may do: the one table of permissions.

use serde::{Deserialize, Serialize};

use crate::types::AccessRole;

/// What a route asks of whoever calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Permission {
    /// Nothing: signing in, the setup, the document of the API.
    Public,
    /// To be somebody: one's own account, sessions and tokens.
    SignedIn,
    /// To read what carries no content: status, policies, limits, budgets, standing orders.
    Read,
    /// To read events.
    ReadEvents,
    /// To work on events: alerts and incidents are acknowledged, assigned, merged, commented and closed, plans proposed.
    WorkOnEvents,
    /// To decide about plans and tool calls that wait, and to undo remedies.
    Decide,
    /// To see the stored content of a request. Its own setting says who may.
    Reveal,
    /// To read what was spent.
    ReadLedger,
    /// To give and lift standing orders.
    GiveOrders,
    /// To read who has which gateway key.
    ReadKeys,
    /// To issue, rotate and revoke gateway keys.
    ManageKeys,
    /// To read accounts and everybody's sessions and tokens.
    ReadAccounts,
    /// To change accounts and end other people's sessions and tokens.
    ManageAccounts,
    /// To read the audit trail.
    ReadAudit,
    /// To read the configuration in force.
    ReadConfig,
    /// To validate and reload the configuration, to change the key that signs the audit trail, and to switch monitoring.
    Configure,
}

impl Permission {
    /// The roles that have it; `reveal` are those that the settings let reveal content.
    pub fn roles(self, reveal: &[AccessRole]) -> Vec<AccessRole> {
        use AccessRole::{Admin, Analyst, Auditor, Responder};
        match self {
            Self::Public => Vec::new(),
            Self::SignedIn | Self::Read => AccessRole::ALL.to_vec(),
            Self::ReadEvents => vec![Analyst, Responder, Admin, Auditor],
            Self::WorkOnEvents => vec![Analyst, Responder, Admin],
            Self::Reveal => reveal.to_vec(),
            Self::GiveOrders | Self::Decide => vec![Responder, Admin],
            Self::ReadLedger | Self::ReadKeys | Self::ReadAccounts | Self::ReadAudit | Self::ReadConfig => {
                vec![Admin, Auditor]
            }
            Self::ManageKeys | Self::ManageAccounts | Self::Configure => vec![Admin],
        }
    }
}

/// A set of roles, sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roles(Vec<AccessRole>);

impl Roles {
    /// These roles, each once.
    pub fn new(roles: impl IntoIterator<Item = AccessRole>) -> Self {
        let mut roles: Vec<_> = roles.into_iter().collect();
        roles.sort_unstable();
        roles.dedup();
        Self(roles)
    }

    /// From their words; unknown words are dropped, which never adds a right.
    pub fn parse(words: &str) -> Self {
        Self::new(words.split(' ').filter_map(|word| AccessRole::ALL.into_iter().find(|role| role.name() == word)))
    }

    /// Their words, as the store keeps them.
    pub fn words(&self) -> String {
        self.0.iter().map(|role| role.name()).collect::<Vec<_>>().join(" ")
    }

    /// Each of them.
    pub fn list(&self) -> &[AccessRole] {
        &self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of them is among `wanted`.
    pub fn any_of(&self, wanted: &[AccessRole]) -> bool {
        self.0.iter().any(|role| wanted.contains(role))
    }

    /// Whether whoever has these may give all of `others`: nobody can grant more than they have.
    pub fn cover(&self, others: &Self) -> bool {
        others.0.iter().all(|other| self.0.iter().any(|own| includes(*own, *other)))
    }

    /// Those of these that `others` cover: what a token may do when its account lost a role.
    pub fn within(&self, others: &Self) -> Self {
        Self(self.0.iter().copied().filter(|role| others.cover(&Self(vec![*role]))).collect())
    }
}

/// Whether `role` can do everything that `other` can.
fn includes(role: AccessRole, other: AccessRole) -> bool {
    use AccessRole::{Admin, Analyst, Auditor, Responder, Viewer};
    match role {
        Admin => other != Auditor,
        Responder => matches!(other, Responder | Analyst | Viewer),
        Analyst => matches!(other, Analyst | Viewer),
        Viewer => other == Viewer,
        Auditor => matches!(other, Auditor | Viewer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_includes_another_role_has_all_its_permissions() {
        let all = [
            Permission::SignedIn,
            Permission::Read,
            Permission::ReadEvents,
            Permission::WorkOnEvents,
            Permission::Decide,
            Permission::Reveal,
            Permission::ReadLedger,
            Permission::GiveOrders,
            Permission::ReadKeys,
            Permission::ManageKeys,
            Permission::ReadAccounts,
            Permission::ManageAccounts,
            Permission::ReadAudit,
            Permission::ReadConfig,
            Permission::Configure,
        ];
        let reveal = crate::config::admin_settings::Admin::default().reveal_roles;
        for role in AccessRole::ALL {
            for other in AccessRole::ALL.into_iter().filter(|other| includes(role, *other)) {
                for permission in all {
                    let roles = permission.roles(&reveal);
                    assert!(!roles.contains(&other) || roles.contains(&role), "{role:?} {other:?} {permission:?}");
                }
            }
        }
    }

    #[test]
    fn an_administrator_is_no_auditor() {
        let roles = |words: &str| Roles::parse(words);
        assert!(roles("admin").cover(&roles("viewer analyst responder admin")));
        assert!(!roles("admin").cover(&roles("auditor")));
        assert!(roles("admin auditor").cover(&roles("auditor viewer")));
        assert_eq!(roles("admin auditor").within(&roles("responder")), roles(""));
        assert_eq!(roles("viewer root auditor").words(), "viewer auditor");
    }
}
