//! What is answered for: callers and keys, spend, compliance, reports, audit, settings, accounts.

mod account;
mod accounts;
mod audit;
mod caller;
mod callers;
mod compliance;
mod configuration;
mod document;
mod figures;
mod keys;
mod orders;
mod policies;
mod reports;
mod settings;
mod spend;
mod spend_parts;
mod tokens;
mod words;

use axum::routing::MethodRouter;

use crate::console::views::open::{acting, open};
use crate::console::{Console, view};

/// The pages.
pub(super) fn pages() -> Vec<(&'static str, MethodRouter<Console>)> {
    vec![
        ("/console/callers", open(callers::page)),
        ("/console/callers/{kind}/{name}", view(caller::page)),
        ("/console/keys", view(keys::page)),
        ("/console/orders", view(orders::page)),
        ("/console/spend", open(spend::page)),
        ("/console/compliance", acting(compliance::page)),
        ("/console/reports", view(reports::page)),
        ("/console/reports/{id}", view(reports::one)),
        ("/console/audit", open(audit::page)),
        ("/console/audit/verify", acting(audit::verify)),
        ("/console/audit/{number}", view(audit::one)),
        ("/console/settings", view(settings::page)),
        ("/console/settings/configuration", acting(configuration::page)),
        ("/console/settings/policies", view(policies::page)),
        ("/console/accounts", view(accounts::page)),
        ("/console/tokens", view(tokens::page)),
        ("/console/account", view(account::page)),
    ]
}
