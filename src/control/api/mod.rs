//! The admin API: axum under `/api/v1` on the ops listener. `table.rs` lists every route with what it asks for.

#![expect(unused_qualifications, reason = "the derives of utoipa write paths in full")]

pub mod accounts;
pub mod audit;
pub mod callers;
mod catalogue;
pub mod change;
pub mod config;
pub mod conversations;
pub mod coverage;
pub mod door;
pub mod edge;
pub mod erasures;
pub mod error;
pub mod events;
pub mod exports;
pub mod extract;
pub mod guard;
mod handler;
pub mod keys;
pub mod learn;
pub mod ledger;
pub mod lockout;
pub mod login;
pub mod oidc;
pub mod orders;
pub mod overview;
pub mod password;
pub mod policies;
pub mod reports;
pub mod roles;
pub mod rule_hits;
pub mod rules;
pub mod scan;
pub mod secrets;
pub mod sessions;
pub mod setup;
mod shown;
pub mod soc;
pub mod status;
pub mod table;
pub mod tokens;
pub mod trying;
pub mod words;

use std::ops::Deref;
use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use tokio::sync::Semaphore;

use self::door::Doors;
use self::edge::Peer;
use self::error::ApiError;
use self::lockout::Lockout;
use self::oidc::Provider;
use self::password::Passwords;
use crate::config::admin_settings::Admin;
use crate::store::Database;
use crate::store::accounts::Accounts;
use crate::types::Secret;

/// The admin API of one gateway.
#[derive(Clone)]
pub struct Api(App);

/// What every handler works with.
#[derive(Clone)]
pub struct App(Arc<Parts>);

/// The parts of the API.
pub struct Parts {
    /// `[admin]` of `gateway.toml`.
    pub settings: Admin,
    /// Accounts, tokens, sessions.
    pub accounts: Accounts,
    /// The whole store.
    pub database: Database,
    /// The running gateway.
    pub doors: Doors,
    passwords: Passwords,
    lockout: Lockout,
    oidc: Option<Provider>,
    document: String,
    /// Every rule as its file says it.
    catalogue: catalogue::Shelf,
    /// Slots of the test bench.
    scans: Arc<Semaphore>,
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl App {
    /// Unix time in microseconds.
    fn now(&self) -> i64 {
        (self.doors.clock)()
    }

    /// The session cookie's name. Only on this machine, over plain HTTP and where the settings allow it is it one that
    /// browsers keep without TLS.
    fn cookie_name(&self, peer: &Peer) -> &'static str {
        if self.insecure(peer) { "portcullis-dev" } else { "__Host-portcullis" }
    }

    fn insecure(&self, peer: &Peer) -> bool {
        self.settings.insecure_loopback_cookie && peer.loopback && !peer.secure
    }
}

impl Api {
    /// Reads the client's secret of the identity provider, if there is one, and computes one password hash.
    ///
    /// # Errors
    /// When settings cannot be used: `Admin::problems` says so before.
    pub fn new(settings: Admin, database: Database, doors: Doors) -> Result<Self, ApiError> {
        let oidc = settings.oidc.as_ref().map(Provider::new).transpose()?;
        let document = table::document().to_pretty_json().map_err(|error| ApiError::internal(&error))?;
        Ok(Self(App(Arc::new(Parts {
            accounts: Accounts::new(database.clone()),
            passwords: Passwords::new(&settings.passwords)?,
            lockout: Lockout::new(&settings.lockout),
            document,
            oidc,
            catalogue: catalogue::Shelf::default(),
            scans: Arc::new(Semaphore::new(settings.scans_at_once as usize)),
            settings,
            database,
            doors,
        }))))
    }

    /// A one-time token for the first administrator, to be shown to whoever started the gateway; `None` when there is
    /// an administrator. Each start makes a new one; the first that is used ends them all.
    pub async fn setup_token(&self) -> Result<Option<Secret>, ApiError> {
        let minted = secrets::mint(secrets::SETUP_PREFIX)?;
        let now = self.0.now();
        let life = i64::try_from(self.0.settings.setup_lifetime.get().as_micros()).unwrap_or(i64::MAX);
        let open = self.0.accounts.offer_setup(&minted.hash, now, now.saturating_add(life)).await?;
        Ok(open.then_some(minted.secret))
    }

    /// The routes. Whoever serves them gives each request `ConnectInfo<SocketAddr>` and, where it came by TLS,
    /// `edge::OverTls`.
    pub fn router(&self) -> Router {
        let app = self.0.clone();
        table::router(&app)
            .fallback(|| async { ApiError::not_found("path") })
            .method_not_allowed_fallback(not_allowed)
            .layer(axum::middleware::from_fn_with_state(app.clone(), edge::edge))
            .with_state(app)
    }
}

async fn not_allowed() -> ApiError {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "This method is not allowed here.")
}
