//! What can be wrong with `[[identity.tokens]]`.

use std::path::Path;
use std::sync::Arc;

use jsonwebtoken::{Algorithm, AlgorithmFamily};

use super::identity_settings::TokenIssuer;
use super::token_keys::{KeySet, is_safe_url};
use super::tokens::{Issuer, KeySource, TokenSources};
use crate::types::Secret;

/// The key a problem is with, and the message.
type Found = (&'static str, String);

/// Checks an issuer and reads its files.
pub(super) fn issuer(settings: &TokenIssuer, sources: &mut TokenSources<'_>) -> Result<Issuer, Vec<Found>> {
    let mut found = Vec::new();
    if settings.issuer.trim().is_empty() || settings.issuer.len() > 512 {
        found.push(("issuer", "is the `iss` of its tokens, 1 to 512 bytes".to_owned()));
    }
    if settings.audience.is_empty() || settings.audience.iter().any(String::is_empty) {
        found.push(("audience", "name the audience its tokens have for this gateway".to_owned()));
    }
    if settings.claims.user.is_empty() {
        found.push(("claims.user", "name the claim that says who the user is".to_owned()));
    }
    let algorithms = algorithms(settings, &mut found);
    let (source, keys) = source(settings, sources, &mut found);
    let ca = settings.ca.as_deref().and_then(|path| read(sources, "ca", path, &mut found)).map(Arc::from);
    if found.is_empty() { Ok(Issuer::new(settings, source, algorithms, keys, ca)) } else { Err(found) }
}

fn algorithms(settings: &TokenIssuer, found: &mut Vec<Found>) -> Vec<Algorithm> {
    let has_secret = settings.secret_env.is_some();
    if settings.algorithms.is_empty() {
        let public = [Algorithm::RS256, Algorithm::PS256, Algorithm::ES256, Algorithm::EdDSA];
        return if has_secret { vec![Algorithm::HS256] } else { public.to_vec() };
    }
    let mut algorithms = Vec::new();
    for name in &settings.algorithms {
        match name.parse::<Algorithm>() {
            Ok(algorithm) if is_shared(algorithm) == has_secret => algorithms.push(algorithm),
            Ok(_) if has_secret => found.push(("algorithms", format!("{name} does not go with a shared secret"))),
            Ok(_) => {
                found.push(("algorithms", format!("{name} needs a shared secret (`secret_env`), not public keys")))
            }
            Err(_) => {
                found.push(("algorithms", format!("`{name}` is not supported: RS, PS, ES (256, 384), EdDSA, HS")))
            }
        }
    }
    algorithms
}

fn source(
    settings: &TokenIssuer,
    sources: &mut TokenSources<'_>,
    found: &mut Vec<Found>,
) -> (KeySource, Option<KeySet>) {
    let ways = (&settings.jwks_url, &settings.jwks_file, settings.discovery, &settings.secret_env);
    match ways {
        (Some(url), None, false, None) => {
            check_url("jwks_url", url, found);
            (KeySource::Url(url.clone()), None)
        }
        (None, None, true, None) => {
            let url = format!("{}/.well-known/openid-configuration", settings.issuer.trim_end_matches('/'));
            check_url("issuer", &url, found);
            (KeySource::Discovery(url), None)
        }
        (None, Some(path), false, None) => {
            let text = read(sources, "jwks_file", path, found);
            let keys = text.map(|text| KeySet::from_jwks(text.as_bytes()).map_err(|error| error.to_string()));
            (KeySource::Given, given("jwks_file", keys, found))
        }
        (None, None, false, Some(variable)) => {
            let keys = match (sources.variable)(variable) {
                Some(secret) => KeySet::from_secret(&Secret::new(secret)).map_err(|error| error.to_string()),
                None => Err(format!("the environment variable {variable} is not set")),
            };
            (KeySource::Given, given("secret_env", Some(keys), found))
        }
        _ => {
            let message = "needs exactly one of jwks_url, jwks_file, discovery and secret_env";
            found.push(("issuer", message.to_owned()));
            (KeySource::Given, None)
        }
    }
}

fn given(key: &'static str, keys: Option<Result<KeySet, String>>, found: &mut Vec<Found>) -> Option<KeySet> {
    match keys? {
        Ok(keys) => Some(keys),
        Err(message) => {
            found.push((key, message));
            None
        }
    }
}

fn read(sources: &mut TokenSources<'_>, key: &'static str, path: &Path, found: &mut Vec<Found>) -> Option<String> {
    (sources.file)(path).map_err(|message| found.push((key, format!("{}: {message}", path.display())))).ok()
}

fn check_url(key: &'static str, url: &str, found: &mut Vec<Found>) {
    if !is_safe_url(url) {
        found.push((
            key,
            "must be an https address (http only on a loopback address), without user or fragment".to_owned(),
        ));
    }
}

/// Whether an algorithm signs and verifies with the same secret.
fn is_shared(algorithm: Algorithm) -> bool {
    algorithm.family() == AlgorithmFamily::Hmac
}
