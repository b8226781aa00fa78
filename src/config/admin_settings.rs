//! Settings of the admin API: who signs in, for how long, and from where.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::units::{Size, Time};
use crate::types::AccessRole;

/// The admin API, `/api/v1` on the ops listener.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// Whether it is served at all.
    pub enabled: bool,
    /// Host names and addresses (no port) under which it may be asked; others are refused, against DNS rebinding.
    pub allowed_hosts: Vec<String>,
    /// Networks of TLS-ending proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
    #[schemars(with = "Vec<String>")]
    pub trusted_proxies: Vec<IpNet>,
    /// Let browsers on this machine sign in over plain HTTP with a cookie that is not `Secure`. For development.
    pub insecure_loopback_cookie: bool,
    /// Bytes of one request body.
    pub max_body: Size,
    /// From the head of a request to the head of its answer.
    pub request_timeout: Time,
    /// The most entries on one page of an answer.
    pub max_page: u32,
    /// How long one verification of the audit trail may take.
    pub verify_timeout: Time,
    /// Texts that the test bench judges at once; further ones are told to come back.
    pub scans_at_once: u32,
    /// Lists that the console makes into files at once, one of each account; further ones are told to come back.
    pub files_at_once: u32,
    /// Without a request for so long, a session ends.
    pub session_idle: Time,
    /// So long after signing in, a session ends.
    pub session_lifetime: Time,
    /// Sessions of one account at once; the oldest ends when one more begins.
    pub max_sessions: u32,
    /// The longest life of an API token; also the life of one that does not say.
    pub token_lifetime: Time,
    /// API tokens of one account that are neither revoked nor expired.
    pub max_tokens: u32,
    /// Accounts.
    pub max_accounts: u32,
    /// How long the one-time token for the first administrator is good.
    pub setup_lifetime: Time,
    /// Roles that may reveal the stored content of a request; each time is recorded in the audit trail.
    #[schemars(with = "Vec<String>")]
    pub reveal_roles: Vec<AccessRole>,
    /// Passwords of local accounts.
    pub passwords: Passwords,
    /// What wrong passwords, codes and setup tokens lead to.
    pub lockout: Lockout,
    /// The console's playground and attack lab.
    pub trying: Trying,
    /// Signing in at an identity provider (OpenID Connect).
    pub oidc: Option<Oidc>,
}

/// The console's playground and attack lab: requests that the gateway sends to its own data listener.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Trying {
    /// Answers of the playground at once; a further one is refused.
    pub chats: usize,
    /// The longest time of one answer, in the playground and in the lab.
    pub timeout: Time,
    /// Requests of an attack lab run in flight. There is one run at a time.
    pub concurrency: usize,
    /// Runs of the lab that are kept; the oldest go.
    pub runs: u32,
}

/// Passwords of local accounts: argon2id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Passwords {
    /// The fewest characters; below 12 is refused.
    pub min_length: u32,
    /// Memory of one hash.
    pub memory: Size,
    /// Passes over that memory.
    pub passes: u32,
    /// Hashes computed at once.
    pub at_once: u32,
    /// Sign-ins waiting for that; further ones are told to come back.
    pub waiting: u32,
}

/// What wrong passwords lead to. Counted in this process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Lockout {
    /// Wrong tries for one account before it has to wait.
    pub per_account: u32,
    /// Wrong tries from one address (IPv6: one /64) before it has to wait.
    pub per_address: u32,
    /// The first wait; each further wrong try doubles it.
    pub first_wait: Time,
    /// The longest wait.
    pub longest_wait: Time,
    /// Without a try for so long, the count begins anew.
    pub forget_after: Time,
    /// Accounts and addresses remembered at once (each).
    pub max_tracked: u64,
}

/// Signing in at an identity provider: authorization code with PKCE, state and nonce.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Oidc {
    /// The provider's issuer URL; `https`, except on this machine.
    pub issuer: String,
    /// What the provider calls this gateway.
    pub client_id: String,
    /// The environment variable with the client's secret. A public client has none.
    pub client_secret_env: Option<String>,
    /// The file with the client's secret.
    pub client_secret_file: Option<PathBuf>,
    /// Where the provider sends browsers back to: `https://HOST/api/v1/oidc/callback`.
    pub redirect_url: String,
    /// Scopes asked for besides `openid`.
    pub scopes: Vec<String>,
    /// The claim with groups or roles; dots lead into objects (`realm_access.roles`).
    pub roles_claim: String,
    /// From values of that claim to roles.
    #[schemars(with = "BTreeMap<String, Vec<String>>")]
    pub role_map: BTreeMap<String, Vec<AccessRole>>,
    /// Signature algorithms accepted on id tokens.
    pub algorithms: Vec<String>,
    /// PEM file with CAs that are trusted besides the platform's.
    pub ca_file: Option<PathBuf>,
    /// The longest wait for one answer of the provider; zero is ten seconds.
    pub timeout: Option<Time>,
}

impl Default for Trying {
    fn default() -> Self {
        Self { chats: 16, timeout: Time::from_secs(120), concurrency: 4, runs: 50 }
    }
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            enabled: true,
            allowed_hosts: vec!["localhost".into(), "127.0.0.1".into(), "::1".into()],
            trusted_proxies: Vec::new(),
            insecure_loopback_cookie: false,
            max_body: Size::bytes(512 << 10),
            request_timeout: Time::from_secs(30),
            max_page: 500,
            verify_timeout: Time::from_secs(600),
            scans_at_once: 2,
            files_at_once: 2,
            session_idle: Time::from_secs(30 * 60),
            session_lifetime: Time::from_secs(12 * 3600),
            max_sessions: 20,
            token_lifetime: Time::from_secs(90 * 24 * 3600),
            max_tokens: 50,
            max_accounts: 10_000,
            setup_lifetime: Time::from_secs(24 * 3600),
            reveal_roles: vec![AccessRole::Analyst, AccessRole::Responder, AccessRole::Admin, AccessRole::Auditor],
            passwords: Passwords::default(),
            lockout: Lockout::default(),
            trying: Trying::default(),
            oidc: None,
        }
    }
}

impl Default for Passwords {
    /// OWASP's second choice for argon2id: 19 MiB, two passes, one lane.
    fn default() -> Self {
        Self { min_length: 12, memory: Size::bytes(19 << 20), passes: 2, at_once: 2, waiting: 16 }
    }
}

impl Default for Lockout {
    fn default() -> Self {
        Self {
            per_account: 5,
            per_address: 20,
            first_wait: Time::from_secs(2),
            longest_wait: Time::from_secs(15 * 60),
            forget_after: Time::from_secs(3600),
            max_tracked: 10_000,
        }
    }
}

impl Admin {
    /// What is wrong with these settings: the key below `[admin]` and a sentence, all at once.
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut need = |holds: bool, key: &str, told: &str| {
            if !holds {
                found.push((key.to_owned(), told.to_owned()));
            }
        };
        need(!self.allowed_hosts.is_empty(), "allowed_hosts", "nobody could ask: name at least one host");
        need(self.max_page > 0, "max_page", "must be at least 1");
        need((1..=64).contains(&self.scans_at_once), "scans_at_once", "must be 1 to 64");
        need((1..=64).contains(&self.files_at_once), "files_at_once", "must be 1 to 64");
        need(!self.session_idle.is_zero(), "session_idle", "must be longer than zero");
        need(!self.session_lifetime.is_zero(), "session_lifetime", "must be longer than zero");
        need(self.passwords.min_length >= 12, "passwords.min_length", "must be at least 12");
        need(self.passwords.memory.get() >= 8 << 20, "passwords.memory", "must be at least 8MiB");
        need(self.passwords.memory.get() <= 1 << 30, "passwords.memory", "must be at most 1GiB");
        need((1..=64).contains(&self.passwords.passes), "passwords.passes", "must be 1 to 64");
        need(self.passwords.at_once > 0, "passwords.at_once", "must be at least 1");
        need(self.lockout.per_account > 0, "lockout.per_account", "must be at least 1");
        need(self.lockout.per_address > 0, "lockout.per_address", "must be at least 1");
        if let Some(oidc) = &self.oidc {
            oidc.problems(&mut need);
        }
        found
    }
}

impl Oidc {
    fn problems(&self, need: &mut impl FnMut(bool, &str, &str)) {
        let safe = |url: &str| {
            let rest = url.strip_prefix("http://");
            let local = |rest: &str| {
                ["localhost", "127.0.0.1", "[::1]"].iter().any(|host| {
                    rest.strip_prefix(host).is_some_and(|after| matches!(after.chars().next(), None | Some(':' | '/')))
                })
            };
            url.starts_with("https://") || rest.is_some_and(local)
        };
        need(safe(&self.issuer), "oidc.issuer", "must be an https URL (http on this machine only)");
        need(safe(&self.redirect_url), "oidc.redirect_url", "must be an https URL (http on this machine only)");
        need(!self.client_id.is_empty(), "oidc.client_id", "must be given");
        need(!self.role_map.is_empty(), "oidc.role_map", "without it nobody who signs in has a role");
        need(
            self.client_secret_env.is_none() || self.client_secret_file.is_none(),
            "oidc.client_secret_file",
            "give the secret in the environment or in a file, not both",
        );
        let known = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];
        need(
            self.algorithms.iter().all(|name| known.contains(&name.as_str())),
            "oidc.algorithms",
            "must be of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA",
        );
    }

    /// The claim with the roles: `groups` unless said otherwise.
    pub fn claim(&self) -> &str {
        if self.roles_claim.is_empty() { "groups" } else { &self.roles_claim }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_have_no_problem_and_read_back() {
        let settings = Admin::default();
        assert_eq!(settings.problems(), []);
        let text = toml::to_string(&settings).unwrap();
        assert_eq!(toml::from_str::<Admin>(&text).unwrap(), settings);
        assert!(toml::from_str::<Admin>("sesion_idle = \"1m\"").is_err());
    }

    #[test]
    fn an_issuer_in_clear_is_for_this_machine_only() {
        let told = |issuer: &str| {
            let oidc = Oidc {
                issuer: issuer.into(),
                client_id: "c".into(),
                redirect_url: "https://soc.example/api/v1/oidc/callback".into(),
                role_map: BTreeMap::from([("g".into(), vec![AccessRole::Viewer])]),
                ..Oidc::default()
            };
            Admin { oidc: Some(oidc), ..Admin::default() }.problems().len()
        };
        assert_eq!(told("https://id.example"), 0);
        assert_eq!(told("http://127.0.0.1:9000/realm"), 0);
        assert_eq!(told("http://id.example"), 1);
        assert_eq!(told("http://localhost.evil.example"), 1);
    }
}
