//! What can be wrong with `[identity]`, but for its keys and issuers of tokens.

use hyper::header::HeaderName;

use super::identity_settings::{CertificateName, Identity};

/// Headers that have a meaning of their own.
const RESERVED: &[&str] = &[
    "accept",
    "accept-encoding",
    "anthropic-version",
    "api-key",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "forwarded",
    "host",
    "te",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "x-api-key",
    "x-forwarded-for",
    "x-real-ip",
    "x-request-id",
];

/// The key a problem is with (below `identity`, dots between steps), and what is wrong.
pub type IdentityProblem = (&'static str, String);

/// Every problem of `[identity]` that can be told from it alone.
pub fn problems(identity: &Identity) -> Vec<IdentityProblem> {
    let mut found = Vec::new();
    headers(identity, &mut found);
    let mut require = |is_good: bool, key: &'static str, message: &str| {
        if !is_good {
            found.push((key, message.to_owned()));
        }
    };
    require((256..=1 << 20).contains(&identity.max_token.get()), "max_token", "must be between 256B and 1MiB");
    require(identity.token_cache <= 1_000_000, "token_cache", "may be 1000000 at most");
    require(identity.remembered_ids <= 10_000_000, "remembered_ids", "may be 10000000 at most");
    require(identity.unknown_key_wait.get().as_secs() <= 30, "unknown_key_wait", "may be 30s at most");
    let jwks = &identity.jwks;
    require(jwks.min_refresh.get().as_secs() >= 1, "jwks.min_refresh", "must be 1s or more");
    require(jwks.min_refresh <= jwks.max_refresh, "jwks.max_refresh", "must not be below identity.jwks.min_refresh");
    require(!jwks.timeout.is_zero(), "jwks.timeout", "must be more than 0");
    require(jwks.retries <= 10, "jwks.retries", "may be 10 at most");
    require(jwks.max_body.get() >= 1024, "jwks.max_body", "must be 1KiB or more");
    let certificates = &identity.certificates;
    let names = [certificates.user, certificates.agent, certificates.tenant];
    let spiffe = |name: &CertificateName| matches!(name, CertificateName::Spiffe | CertificateName::SpiffeTrustDomain);
    let spiffe = names.iter().any(spiffe);
    require(
        certificates.trust_domains.is_empty() || spiffe,
        "certificates.trust_domains",
        "has no effect unless a name is taken from the SPIFFE id",
    );
    found
}

fn headers(identity: &Identity, found: &mut Vec<IdentityProblem>) {
    let all = [
        ("user_header", &identity.user_header),
        ("tenant_header", &identity.tenant_header),
        ("team_header", &identity.team_header),
        ("groups_header", &identity.groups_header),
        ("agent_header", &identity.agent_header),
        ("session_header", &identity.session_header),
    ];
    let mut known: Vec<HeaderName> = Vec::new();
    for (key, name) in all {
        let Some(name) = name else { continue };
        match HeaderName::from_bytes(name.as_bytes()) {
            Err(_) => found.push((key, format!("`{name}` is not a header's name"))),
            Ok(header) if RESERVED.contains(&header.as_str()) => {
                found.push((key, format!("`{name}` has a meaning of its own and cannot be used")));
            }
            Ok(header) if known.contains(&header) => {
                found.push((key, format!("`{name}` is used for something else already")));
            }
            Ok(header) => known.push(header),
        }
    }
}
