//! Files -> raw -> checked -> Snapshot; a reload prepares (may fail), then publishes (cannot).

pub mod admin_settings;
pub mod audit_settings;
pub mod export_settings;
pub mod identity_check;
pub mod identity_settings;
pub mod issued;
pub mod policies;
pub mod report_settings;
pub mod settings;
pub mod soc_files;
pub mod soc_outside;
pub mod soc_settings;
pub mod token_keys;
pub mod tokens;
pub mod units;

mod defaults;

mod load;
mod reload;
mod snapshot;
mod store_settings;

mod alarm_settings;
mod approval_settings;
mod check;
mod claims;
mod empty_is_none;
mod env;
mod fleet;
mod glob;
mod history;
mod keys;
mod learn_settings;
mod learned;
mod limit_settings;
mod limits;
mod model_settings;
mod models;
mod orders;
mod problem;
mod read;
mod routes;
mod rules;
mod rulings;
mod tls;
mod token_check;
mod tree;
mod upstream_settings;
mod upstreams;
mod watch;

#[cfg(test)]
mod tests;

pub use env::Environment;
pub use glob::Globs;
pub use keys::{KeyTable, digest};
pub use learn_settings::Learn as LearnSettings;
pub use learned::{Learned, LearnedFile, staged};
pub use load::{Loaded, Source, load};
pub use orders::{Orders, Standing};
pub use policies::{Asking, Policies, Policy};
pub use problem::Problem;
pub use read::{Fingerprint, Watched};
pub use reload::{ReloadTask, Reloader};
pub use routes::{RoutePlan, Routes};
pub use rules::{RuleSources, read_rules, texts_in};
pub use rulings::Rulings;
pub use snapshot::{Handle, Prepared, Snapshot, prepare};
pub use tls::{TlsMaterial, TlsPair, towards};
pub use upstreams::{Base, Upstream, Upstreams};
