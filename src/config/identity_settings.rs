//! `[identity]`: who is let in and how callers prove who they are.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::units::{Size, Time};

/// Who is let in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Identity {
    /// Refuse requests without a known gateway key, token, client certificate or trusted user header.
    pub require_key: bool,
    /// Gateway keys: name and SHA-256 (hex) of the key. Virtual keys of the admin API stand in the store instead.
    pub keys: Vec<GatewayKey>,
    /// A header that names the user, believed from `server.trusted_proxies` and Unix sockets only.
    pub user_header: Option<String>,
    /// A header that names the tenant, believed as `user_header` is.
    pub tenant_header: Option<String>,
    /// A header that names the team, believed as `user_header` is.
    pub team_header: Option<String>,
    /// A header with the user's groups, separated by commas, believed as `user_header` is.
    pub groups_header: Option<String>,
    /// A header that names the agent, believed as `user_header` is.
    pub agent_header: Option<String>,
    /// A header that names the session. Any client may set it: it joins sessions of the same caller only.
    pub session_header: Option<String>,
    /// Without any other sign of a session, take the beginning of the conversation for one.
    pub session_from_opening: bool,
    /// What happens to an id of a provider (a response, file, batch ...) that this gateway did not see being issued.
    pub unknown_ids: UnknownIds,
    /// Ids of providers whose owner is remembered; the least recently used are forgotten. 0: none, and nothing is checked.
    pub remembered_ids: usize,
    /// Whose an id of a provider is: the caller's alone, or their team's or tenant's.
    pub ids_belong_to: IdsBelongTo,
    /// Longest bearer token that is read.
    pub max_token: Size,
    /// Verified tokens remembered, so that a token that comes again costs a hash; 0: none.
    pub token_cache: usize,
    /// How long a request waits for the keys of an issuer when its token names an unknown one; 0: not at all.
    pub unknown_key_wait: Time,
    /// Issuers of bearer tokens (JWT).
    pub tokens: Vec<TokenIssuer>,
    /// The fetching of issuers' keys.
    pub jwks: JwksFetching,
    /// What a verified client certificate says of its holder.
    pub certificates: Certificates,
}

impl Default for Identity {
    fn default() -> Self {
        Self {
            require_key: false,
            keys: Vec::new(),
            user_header: None,
            tenant_header: None,
            team_header: None,
            groups_header: None,
            agent_header: None,
            session_header: Some("x-session-id".to_owned()),
            session_from_opening: true,
            unknown_ids: UnknownIds::Pass,
            remembered_ids: 200_000,
            ids_belong_to: IdsBelongTo::Caller,
            max_token: Size::bytes(16 << 10),
            token_cache: 10_000,
            unknown_key_wait: Time::from_secs(1),
            tokens: Vec::new(),
            jwks: JwksFetching::default(),
            certificates: Certificates::default(),
        }
    }
}

impl Identity {
    /// The headers that speak of the caller to this gateway.
    pub fn headers(&self) -> impl Iterator<Item = &str> {
        let headers =
            [&self.user_header, &self.tenant_header, &self.team_header, &self.groups_header, &self.agent_header];
        headers.into_iter().flatten().map(String::as_str)
    }
}

/// One gateway key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GatewayKey {
    /// The name that appears in records and limits.
    pub name: String,
    /// SHA-256 of the key, lower-case hex.
    pub sha256: String,
}

/// What happens to a provider's id that nobody is known to own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnknownIds {
    /// It is passed on: it may be older than this gateway's memory.
    #[default]
    Pass,
    /// The request is refused.
    Refuse,
}

/// Whose an id of a provider is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IdsBelongTo {
    /// The caller it was issued to: tenant, key and user, or the address of an anonymous one.
    #[default]
    Caller,
    /// Everyone of the caller's team.
    Team,
    /// Everyone of the caller's tenant.
    Tenant,
}

/// An issuer of bearer tokens. Its keys come from exactly one of `jwks_url`, `jwks_file`, `discovery` and `secret_env`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenIssuer {
    /// The `iss` claim, exactly as it stands in tokens.
    pub issuer: String,
    /// Accepted `aud` claims; at least one.
    pub audience: Vec<String>,
    /// Where its public keys (JWKS) are.
    #[serde(default)]
    pub jwks_url: Option<String>,
    /// A file with them, read again at each reload.
    #[serde(default)]
    pub jwks_file: Option<PathBuf>,
    /// Ask `<issuer>/.well-known/openid-configuration` where they are.
    #[serde(default)]
    pub discovery: bool,
    /// An environment variable with a shared secret of at least 32 bytes, for the HS algorithms.
    #[serde(default)]
    pub secret_env: Option<String>,
    /// Accepted algorithms; by default RS256, PS256, ES256 and EdDSA, or HS256 with a shared secret.
    #[serde(default)]
    pub algorithms: Vec<String>,
    /// Accepted `typ` headers; a token without one is accepted too.
    #[serde(default = "types")]
    pub types: Vec<String>,
    /// How far clocks may be apart.
    #[serde(default = "leeway")]
    pub leeway: Time,
    /// How old a token may be by its `iat` claim; 0: as old as its `exp` claim allows.
    #[serde(default = "no_time")]
    pub max_age: Time,
    /// PEM file with further CAs for `jwks_url` and `discovery`, beside the platform's.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// Which claims say who the caller is.
    #[serde(default)]
    pub claims: ClaimNames,
    /// Claims a token must have: by path, the accepted values; none listed: any value.
    #[serde(default)]
    pub required: BTreeMap<String, Vec<String>>,
}

fn types() -> Vec<String> {
    vec!["JWT".to_owned(), "at+jwt".to_owned()]
}

fn leeway() -> Time {
    Time::from_secs(60)
}

fn no_time() -> Time {
    Time::from_secs(0)
}

/// Where in a token's claims things stand: dotted paths, `realm_access.roles`. A claim whose own name has dots
/// (`https://example.com/team`) is found before the path is taken apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ClaimNames {
    /// The user.
    pub user: String,
    /// Their groups: a list, or a text with spaces or commas.
    pub groups: Option<String>,
    /// Their tenant.
    pub tenant: Option<String>,
    /// Their team.
    pub team: Option<String>,
    /// The agent or application.
    pub agent: Option<String>,
}

impl Default for ClaimNames {
    fn default() -> Self {
        Self { user: "sub".to_owned(), groups: Some("groups".to_owned()), tenant: None, team: None, agent: None }
    }
}

/// The fetching of issuers' keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct JwksFetching {
    /// Soonest refresh, whatever `Cache-Control` says.
    pub min_refresh: Time,
    /// Latest refresh, and the one where `Cache-Control` says nothing.
    pub max_refresh: Time,
    /// After a fetch because of an unknown key, none for the same reason for so long.
    pub unknown_key_cooldown: Time,
    /// For one answer, connection included.
    pub timeout: Time,
    /// Further attempts at once when one fails; then the next refresh comes after `min_refresh`.
    pub retries: usize,
    /// Before the first further attempt; doubles from one to the next.
    pub retry_delay: Time,
    /// Largest answer that is read.
    pub max_body: Size,
}

impl Default for JwksFetching {
    fn default() -> Self {
        Self {
            min_refresh: Time::from_secs(60),
            max_refresh: Time::from_secs(3600),
            unknown_key_cooldown: Time::from_secs(30),
            timeout: Time::from_secs(10),
            retries: 3,
            retry_delay: Time::from_millis(500),
            max_body: Size::bytes(512 << 10),
        }
    }
}

/// What a verified client certificate says of its holder.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Certificates {
    /// The user.
    pub user: CertificateName,
    /// The agent.
    pub agent: CertificateName,
    /// The tenant.
    pub tenant: CertificateName,
    /// SPIFFE trust domains that are believed; none: those of every CA in `tls.client_ca`.
    pub trust_domains: Vec<String>,
}

/// A name in a client certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CertificateName {
    /// For the user, its whole subject, as RFC 4514 writes it; for anything else, nothing.
    #[default]
    Default,
    /// Nothing.
    None,
    /// The whole subject.
    Subject,
    /// The subject's common name.
    SubjectCn,
    /// The subject's organisation.
    SubjectO,
    /// The subject's organisational unit.
    SubjectOu,
    /// The SPIFFE id: the one URI of its subject alternative names, `spiffe://trust-domain/path`.
    Spiffe,
    /// The trust domain of the SPIFFE id.
    SpiffeTrustDomain,
    /// The first DNS name.
    SanDns,
    /// The first mail address.
    SanEmail,
}
