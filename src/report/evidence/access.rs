//! Evidence about the audit trail, accounts, keys and connections.

use super::{DAY, Found, Shown, all, days, of, records, when};
use crate::report::facts::{Facts, Verified};
use crate::report::say::{count, lasts, many};

pub(super) fn audit_trail(facts: &Facts) -> Found {
    let records = all(&facts.audit.kinds);
    (
        when(records > 0, false),
        format!("{} written in the period", many(records, "audit record was", "audit records were")),
    )
}

pub(super) fn audit_chain_verified(facts: &Facts) -> Found {
    match &facts.audit.verified {
        Verified::Whole(records, checkpoints, unsigned) => (
            when(*checkpoints > 0 || *records == 0, true),
            format!(
                "every hash of {} and {} verified; {} not signed yet",
                many(*records, "record", "records"),
                many(*checkpoints, "signed checkpoint", "signed checkpoints"),
                count(unsigned.unsigned_abs())
            ),
        ),
        Verified::Broken(what) => (Shown::No, format!("the trail is BROKEN: {what}")),
        Verified::Failed(why) => (Shown::No, format!("the trail could not be verified: {why}")),
        Verified::Unknown => (Shown::No, "the trail was not verified for this report".to_owned()),
    }
}

pub(super) fn audit_retention(facts: &Facts) -> Found {
    let keep = facts.audit.keep;
    (when(keep == 0 || keep >= 365 * DAY, keep >= 90 * DAY), format!("audit records are kept {}", days(keep)))
}

pub(super) fn access_reviews(facts: &Facts) -> Found {
    let accounts = &facts.accounts;
    let told = format!(
        "{}, {} of them not signed in for 90 days, {} switched off; {} of accounts recorded in the period",
        many(accounts.active, "active account", "active accounts"),
        count(accounts.unused),
        count(accounts.disabled),
        many(records(facts, "account"), "change", "changes")
    );
    (when(accounts.active > 0 && accounts.unused == 0, accounts.active > accounts.unused), told)
}

pub(super) fn admin_roles(facts: &Facts) -> Found {
    let accounts = &facts.accounts;
    let told = format!(
        "of {}: {}, {}; five roles, each with its own permissions",
        many(accounts.active, "active account", "active accounts"),
        many(accounts.admins, "administrator", "administrators"),
        many(accounts.auditors, "auditor", "auditors")
    );
    (when(accounts.admins > 0 && accounts.active > accounts.admins, accounts.admins > 0), told)
}

pub(super) fn mfa_by_oidc(facts: &Facts) -> Found {
    let accounts = &facts.accounts;
    if !facts.admin.oidc {
        let told = "no identity provider is configured: people sign in with passwords of this gateway, without a second factor";
        return (Shown::No, told.to_owned());
    }
    let told = format!(
        "an identity provider is configured and signs in {} of {}; whether it asks for a second factor is its own setting; \
         {} of this gateway",
        count(accounts.oidc),
        many(accounts.active, "active account", "active accounts"),
        many(accounts.local, "account has a password", "accounts have passwords")
    );
    (when(accounts.oidc > 0 && accounts.local <= 1, true), told)
}

pub(super) fn sign_in_protected(facts: &Facts) -> Found {
    let admin = &facts.admin;
    let told = format!(
        "passwords have at least {} characters and are stored with Argon2id; after {} an account waits; an idle session ends \
         after {}; {} recorded in the period",
        admin.min_password,
        many(admin.lockout.into(), "wrong try", "wrong tries"),
        lasts(admin.idle.saturating_mul(1_000_000)),
        many(records(facts, "login"), "sign-in or sign-out", "sign-ins and sign-outs")
    );
    (when(admin.enabled && admin.min_password >= 12 && admin.lockout > 0, admin.enabled), told)
}

pub(super) fn callers_identified(facts: &Facts) -> Found {
    let told = format!(
        "requests {} a known caller; {} and {} were seen in the period; {} of tokens trusted",
        if facts.entry.required { "need" } else { "do NOT need" },
        many(facts.who.count, "user", "users"),
        many(facts.who.more, "key", "keys"),
        many(facts.entry.issuers, "issuer", "issuers")
    );
    (when(facts.entry.required, facts.who.count.saturating_add(facts.who.more) > 0), told)
}

pub(super) fn keys_hashed(facts: &Facts) -> Found {
    let keys = all(&facts.keys).saturating_add(facts.static_keys);
    let told = format!(
        "{} in force; keys, tokens and sessions are stored as hashes only, whatever the settings",
        many(keys, "gateway key", "gateway keys")
    );
    (Shown::Yes, told)
}

pub(super) fn keys_expire(facts: &Facts) -> Found {
    let (ending, endless) = (of(&facts.keys, "ending"), of(&facts.keys, "endless").saturating_add(facts.static_keys));
    let told = format!(
        "{} with an end, {} without; {} of keys recorded in the period",
        many(ending, "gateway key", "gateway keys"),
        count(endless),
        many(records(facts, "key_operation"), "operation", "operations")
    );
    (when(endless == 0, ending > 0), told)
}

pub(super) fn encryption_in_transit(facts: &Facts) -> Found {
    let (tls, local, open) = facts.entry.listeners;
    let (secure, clear) = facts.entry.upstreams;
    let store = match facts.entry.store.as_str() {
        "tls" => "the store is reached over TLS",
        "clear" => "the store is reached WITHOUT verified TLS",
        _ => "the store is a file of this machine",
    };
    let open_too: Vec<&str> =
        facts.entry.others.iter().filter(|(_, safe)| !safe).map(|(name, _)| name.as_str()).collect();
    let mut told = format!(
        "{} with TLS, {} in clear on this machine only, {} in clear for others; {} over TLS, {} in clear; {store}",
        many(tls, "listener", "listeners"),
        count(local),
        count(open),
        many(secure, "upstream", "upstreams"),
        count(clear)
    );
    if !facts.entry.others.is_empty() {
        let safe = facts.entry.others.len().saturating_sub(open_too.len());
        told.push_str(&format!("; of {} beside these ", facts.entry.others.len()));
        told.push_str(&format!("{safe} over TLS or within this machine"));
    }
    if !open_too.is_empty() {
        told.push_str(&format!("; in clear too: {}", open_too.join(", ")));
    }
    let good = open == 0 && clear == 0 && facts.entry.store != "clear" && open_too.is_empty();
    (when(good, tls > 0 || secure > 0), told)
}
