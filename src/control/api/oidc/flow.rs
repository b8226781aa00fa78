//! The two steps at the identity provider, and who comes out of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreAuthenticationFlow, CoreErrorResponseType, CoreGenderClaim, CoreJsonWebKey,
    CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm, CoreProviderMetadata, CoreRevocableToken,
    CoreRevocationErrorResponse, CoreTokenIntrospectionResponse, CoreTokenType,
};
use openidconnect::{
    AccessTokenHash, AdditionalClaims, AuthorizationCode, Client, ClientId, ClientSecret, CsrfToken,
    EmptyExtraTokenFields, EndpointMaybeSet, EndpointNotSet, EndpointSet, IdTokenClaims, IdTokenFields, IssuerUrl,
    Nonce, OAuth2TokenResponse as _, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope, StandardErrorResponse,
    StandardTokenResponse, TokenResponse as _,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::Mutex;
use tracing::warn;

use super::super::error::ApiError;
use super::super::roles::Roles;
use super::super::secrets;
use super::http::Http;
use crate::config::admin_settings::Oidc as Settings;

/// How long the provider's metadata and keys are used before they are asked for again.
const FRESH: Duration = Duration::from_secs(600);
/// With a token signed by a key that is not known, they are asked for again, but not more often than this.
const AGAIN: Duration = Duration::from_secs(10);

/// Every claim that is not one of the standard ones.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Claims(Map<String, Value>);

impl AdditionalClaims for Claims {}

type Fields = IdTokenFields<
    Claims,
    EmptyExtraTokenFields,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm,
>;

type Oidc = Client<
    Claims,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    StandardTokenResponse<Fields, CoreTokenType>,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// The identity provider.
pub struct Provider {
    settings: Settings,
    issuer: IssuerUrl,
    redirect: RedirectUrl,
    secret: Option<ClientSecret>,
    algorithms: Vec<CoreJwsSigningAlgorithm>,
    http: Http,
    known: Mutex<Option<(Instant, Arc<CoreProviderMetadata>)>>,
}

/// Who signed in.
pub struct Person {
    /// Issuer and subject: nobody else ever has both.
    pub subject: String,
    /// What the provider calls them.
    pub name: String,
    /// What they may do here.
    pub roles: Roles,
}

/// What stands in the browser's cookie between the two steps.
pub struct Pending {
    state: String,
    nonce: String,
    verifier: String,
    /// Unix time in seconds.
    begun: i64,
}

impl Pending {
    /// As the cookie's value: everything in it is of the alphabet of base64url.
    pub fn to_cookie(&self) -> String {
        format!("{}.{}.{}.{}", self.begun, self.state, self.nonce, self.verifier)
    }

    /// From the cookie's value.
    pub fn from_cookie(value: &str) -> Option<Self> {
        let mut parts = value.split('.').map(str::to_owned);
        let begun = parts.next()?.parse().ok()?;
        let pending = Self { begun, state: parts.next()?, nonce: parts.next()?, verifier: parts.next()? };
        // RFC 7636 has verifiers of 43 to 128 characters.
        let whole = parts.next().is_none() && pending.state.len() >= 16 && (43..=128).contains(&pending.verifier.len());
        whole.then_some(pending)
    }

    /// Whether the provider's answer belongs to it and came in time; `now` in microseconds.
    pub fn is_of(&self, state: &str, now: i64, patience: i64) -> bool {
        let age = (now / 1_000_000).saturating_sub(self.begun);
        secrets::same(&self.state, state) && (-60..=patience).contains(&age)
    }
}

impl Provider {
    /// Reads the client's secret; the provider is asked for the first time when somebody signs in.
    pub fn new(settings: &Settings) -> Result<Self, ApiError> {
        let wrong = |error: &dyn std::fmt::Display| ApiError::internal(&format!("[admin.oidc]: {error}"));
        let secret = match (&settings.client_secret_env, &settings.client_secret_file) {
            (Some(name), _) => Some(std::env::var(name).map_err(|_| wrong(&format!("{name} is not set")))?),
            (None, Some(path)) => Some(std::fs::read_to_string(path).map_err(|error| wrong(&error))?),
            (None, None) => None,
        };
        let timeout = settings.timeout.map_or(Duration::from_secs(10), crate::config::units::Time::get);
        let algorithms = match settings.algorithms.as_slice() {
            [] => vec![CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256, CoreJwsSigningAlgorithm::EcdsaP256Sha256],
            named => named.iter().filter_map(|name| algorithm(name)).collect(),
        };
        Ok(Self {
            issuer: IssuerUrl::new(settings.issuer.clone()).map_err(|error| wrong(&error))?,
            redirect: RedirectUrl::new(settings.redirect_url.clone()).map_err(|error| wrong(&error))?,
            secret: secret.map(|secret| ClientSecret::new(secret.trim().to_owned())),
            http: Http::new(settings.ca_file.as_deref(), timeout).map_err(|error| wrong(&error))?,
            algorithms,
            settings: settings.clone(),
            known: Mutex::new(None),
        })
    }

    /// Where to send the browser, and what it has to bring back.
    pub async fn begin(&self, now: i64) -> Result<(openidconnect::url::Url, Pending), ApiError> {
        let client = self.client(FRESH).await?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let flow = CoreAuthenticationFlow::AuthorizationCode;
        let scopes = self.settings.scopes.iter().filter(|scope| *scope != "openid").cloned().map(Scope::new);
        let (url, state, nonce) = client
            .authorize_url(flow, || CsrfToken::new_random_len(32), || Nonce::new_random_len(32))
            .add_scopes(scopes)
            .set_pkce_challenge(challenge)
            .url();
        let pending = Pending {
            state: state.into_secret(),
            nonce: nonce.secret().clone(),
            verifier: verifier.into_secret(),
            begun: now / 1_000_000,
        };
        Ok((url, pending))
    }

    /// Trades the code for an id token and reads who it is about.
    pub async fn finish(&self, pending: Pending, code: String) -> Result<Person, ApiError> {
        let refused =
            || ApiError::unauthenticated("oidc_refused", "The identity provider did not confirm who you are.");
        let client = self.client(FRESH).await?;
        let tokens = client
            .exchange_code(AuthorizationCode::new(code))
            .map_err(|error| ApiError::internal(&error))?
            .set_pkce_verifier(PkceCodeVerifier::new(pending.verifier))
            .request_async(&self.http)
            .await
            .map_err(|error| {
                warn!(%error, "identity provider does not take a code");
                match error {
                    openidconnect::RequestTokenError::Request(_) => unavailable(),
                    _ => refused(),
                }
            })?;
        let token = tokens.id_token().ok_or_else(refused)?;
        let nonce = Nonce::new(pending.nonce);
        let mut client = client;
        let mut verified = self.claims(&client, token, &nonce);
        if verified.is_err() {
            // Perhaps the provider signs with a new key.
            client = self.client(AGAIN).await?;
            verified = self.claims(&client, token, &nonce);
        }
        let claims = verified.map_err(|error| {
            warn!(%error, "identity provider sent an id token that does not hold");
            refused()
        })?;
        if let Some(expected) = claims.access_token_hash() {
            let verifier = client.id_token_verifier().set_allowed_algs(self.algorithms.clone());
            let made =
                token.signing_alg().ok().zip(token.signing_key(&verifier).ok()).and_then(|(algorithm, key)| {
                    AccessTokenHash::from_token(tokens.access_token(), algorithm, key).ok()
                });
            if made.as_ref() != Some(expected) {
                return Err(refused());
            }
        }
        Ok(self.person(&claims))
    }

    fn claims(
        &self,
        client: &Oidc,
        token: &openidconnect::IdToken<
            Claims,
            CoreGenderClaim,
            CoreJweContentEncryptionAlgorithm,
            CoreJwsSigningAlgorithm,
        >,
        nonce: &Nonce,
    ) -> Result<IdTokenClaims<Claims, CoreGenderClaim>, openidconnect::ClaimsVerificationError> {
        let verifier = client.id_token_verifier().set_allowed_algs(self.algorithms.clone());
        token.claims(&verifier, nonce).cloned()
    }

    fn person(&self, claims: &IdTokenClaims<Claims, CoreGenderClaim>) -> Person {
        let subject = claims.subject().as_str();
        let called = claims.preferred_username().map(|name| name.as_str());
        // An address that the provider has not verified may be anybody's.
        let mail = claims.email().filter(|_| claims.email_verified() == Some(true)).map(|mail| mail.as_str());
        let name = called.or(mail).unwrap_or(subject);
        Person {
            subject: format!("{}#{subject}", claims.issuer().as_str()),
            name: name.chars().filter(|c| !c.is_control()).take(64).collect(),
            roles: roles(&claims.additional_claims().0, self.settings.claim(), &self.settings.role_map),
        }
    }

    /// A client with metadata no older than `fresh`.
    async fn client(&self, fresh: Duration) -> Result<Oidc, ApiError> {
        let metadata = {
            // Held while asking: everybody else who signs in at that moment waits for the same answer.
            let mut known = self.known.lock().await;
            match &*known {
                Some((at, metadata)) if at.elapsed() < fresh => Arc::clone(metadata),
                Some(_) | None => {
                    let found = CoreProviderMetadata::discover_async(self.issuer.clone(), &self.http).await;
                    let metadata = Arc::new(found.map_err(|error| {
                        warn!(%error, "identity provider does not tell its metadata");
                        unavailable()
                    })?);
                    *known = Some((Instant::now(), Arc::clone(&metadata)));
                    metadata
                }
            }
        };
        let id = ClientId::new(self.settings.client_id.clone());
        let client: Client<_, _, _, _, _, _, _, _, _, _, _, EndpointSet, _, _, _, EndpointMaybeSet, EndpointMaybeSet> =
            Client::from_provider_metadata((*metadata).clone(), id, self.secret.clone());
        Ok(client.set_redirect_uri(self.redirect.clone()))
    }
}

fn unavailable() -> ApiError {
    ApiError::unavailable("identity_provider", "The identity provider does not answer.")
}

fn algorithm(name: &str) -> Option<CoreJwsSigningAlgorithm> {
    // Symmetric ones and `none` are not on the list: whoever knows the client's secret could make tokens.
    match name {
        "RS256" | "RS384" | "RS512" | "PS256" | "PS384" | "PS512" | "ES256" | "ES384" | "EdDSA" => {
            serde_json::from_value(Value::String(name.to_owned())).ok()
        }
        _ => None,
    }
}

/// The roles that the values of a claim stand for; dots in `path` lead into objects.
fn roles(claims: &Map<String, Value>, path: &str, map: &BTreeMap<String, Vec<crate::types::AccessRole>>) -> Roles {
    let direct = claims.get(path);
    let mut parts = path.split('.');
    let found = direct.or_else(|| {
        let first = claims.get(parts.next()?)?;
        parts.try_fold(first, |value, key| value.get(key))
    });
    let values: Vec<&str> = match found {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
        Some(_) | None => Vec::new(),
    };
    Roles::new(values.into_iter().filter_map(|value| map.get(value)).flatten().copied())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::AccessRole;

    #[test]
    fn roles_come_from_a_claim_by_the_map_only() {
        let map = BTreeMap::from([
            ("soc".to_owned(), vec![AccessRole::Responder]),
            ("audit".to_owned(), vec![AccessRole::Auditor]),
        ]);
        let read = |claims: Value, path: &str| roles(claims.as_object().unwrap(), path, &map).words();
        assert_eq!(read(serde_json::json!({ "groups": ["soc", "admin", 3] }), "groups"), "responder");
        assert_eq!(
            read(serde_json::json!({ "realm": { "roles": ["audit", "soc"] } }), "realm.roles"),
            "responder auditor"
        );
        assert_eq!(
            read(serde_json::json!({ "https://x.example/roles": "soc" }), "https://x.example/roles"),
            "responder"
        );
        assert_eq!(read(serde_json::json!({ "groups": { "soc": true } }), "groups"), "");
        assert_eq!(read(serde_json::json!({}), "a.b"), "");
    }

    #[test]
    fn a_pending_sign_in_is_bound_to_its_state_and_time() {
        let pending = Pending { state: "s".repeat(43), nonce: "n".into(), verifier: "v".repeat(43), begun: 1000 };
        let read = Pending::from_cookie(&pending.to_cookie()).unwrap();
        let state = "s".repeat(43);
        assert!(read.is_of(&state, 1_500_000_000, 600));
        assert!(!read.is_of(&state, 1_601_000_000, 600));
        assert!(!read.is_of("", 1_500_000_000, 600));
        for value in ["", "1.2.3", "x.y.z.w", &format!("{}.more", pending.to_cookie())] {
            assert!(Pending::from_cookie(value).is_none(), "{value}");
        }
    }
}
