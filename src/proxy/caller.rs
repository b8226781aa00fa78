//! Who asks, once and for all: identified from the head, completed by what the body tells.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::HeaderMap;
use hyper::http::request::Parts;

use super::identify::{
    Arrival, IdHash, Identified, IdentityError, Known, Memory, OwnerIndex, Ownership, Scope, id_in_body, identify,
    ids_in_path,
};
use super::listen::{Peer, client_address};
use super::record::Flight;
use super::refuse::Refusal;
use super::session::{Opening, SessionKey, Signs, session, session_header};
use crate::config::identity_settings::UnknownIds;
use crate::config::{Handle, Snapshot};
use crate::types::{Caller, Role, hex, unhex};
use crate::wire::Prompt;

/// What is known of callers beside the Snapshot. Shared by all workers.
pub struct Callers {
    memory: Memory,
    /// Whose the ids are that providers issued.
    pub owners: Arc<OwnerIndex>,
    sessions: SessionKey,
    content: [u8; blake3::KEY_LEN],
}

/// Whose the ids are that an answer issues.
#[derive(Debug)]
pub(super) struct Owner {
    owners: Arc<OwnerIndex>,
    scope: Scope,
    session: Option<Arc<str>>,
}

impl fmt::Debug for Callers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callers").field("owners", &self.owners).finish_non_exhaustive()
    }
}

impl Callers {
    /// Nothing known yet. `secret` keys the hashes of sessions and ids: replicas that share a store share it too.
    pub fn new(settings: &crate::config::identity_settings::Identity, secret: &[u8; 32]) -> Self {
        let ids = blake3::derive_key("portcullis 2026-11 issued ids", secret);
        Self {
            memory: Memory::new(settings),
            owners: Arc::new(OwnerIndex::new(settings.remembered_ids, ids)),
            sessions: SessionKey::from_secret(secret),
            content: blake3::derive_key("portcullis 2026-11 content", secret),
        }
    }

    /// Keys the hashes by which the same words are known again.
    pub(super) fn content_key(&self) -> &[u8; blake3::KEY_LEN] {
        &self.content
    }
}

impl Callers {
    /// Somebody was issued an id, as the store remembers it: both are hashes in hexadecimal digits.
    pub fn learn_owner(&self, hash: &str, owner: &str) {
        if let (Some(hash), Some(owner)) = (unhex(hash), unhex(owner)) {
            self.owners.put(IdHash(hash), Scope::from_bytes(owner), None);
        }
    }
}

/// Where a request comes from, as far as those in between are believed.
pub(super) fn address(snapshot: &Snapshot, peer: &Peer, headers: &HeaderMap) -> Option<IpAddr> {
    client_address(peer, headers, &snapshot.trusted)
}

/// Who asks, from `address`. A token signed by a key that nobody knows yet may wait for its issuer's newer keys.
///
/// # Errors
/// A credential that is not valid, contradictions, or nothing at all where something is required.
pub(super) async fn who(
    config: &Handle,
    snapshot: &Snapshot,
    callers: &Callers,
    peer: &Peer,
    address: Option<IpAddr>,
    headers: &HeaderMap,
    now: i64,
) -> Result<Identified, Refusal> {
    let found = look(snapshot, callers, peer, address, headers, now);
    let Err(error) = found else { return found.map_err(|error| Refusal::unidentified(&error)) };
    let patience = snapshot.settings.identity.unknown_key_wait.get();
    if let Some(issuer) = error.wishes_keys_of().cloned()
        && patience > Duration::ZERO
        && snapshot.tokens.wish().ask(&issuer, patience).await
    {
        let newer = config.load_full();
        return look(&newer, callers, peer, address, headers, now).map_err(|error| Refusal::unidentified(&error));
    }
    Err(Refusal::unidentified(&error))
}

fn look(
    snapshot: &Snapshot,
    callers: &Callers,
    peer: &Peer,
    address: Option<IpAddr>,
    headers: &HeaderMap,
    now: i64,
) -> Result<Identified, IdentityError> {
    let is_listed = |address: IpAddr| snapshot.trusted.iter().any(|net| net.contains(&address.to_canonical()));
    let arrival = Arrival {
        headers,
        address,
        is_trusted: peer.local || peer.socket.is_some_and(|socket| is_listed(socket.ip())),
        certificate: peer.tls.as_ref().and_then(|tls| tls.client.as_deref()),
        now,
    };
    let configured = |digest: &[u8; 32]| snapshot.keys.lookup(digest).cloned();
    let known = Known {
        settings: &snapshot.settings.identity,
        configured: &configured,
        issued: &snapshot.issued,
        tokens: &snapshot.tokens,
    };
    identify(&arrival, &known, &callers.memory)
}

/// Completes a caller by what it asks: its session, and that the ids it names are its own.
///
/// # Errors
/// A model its key is not for, or an id that was issued to somebody else.
pub(super) fn complete(
    snapshot: &Snapshot,
    callers: &Callers,
    identified: &mut Identified,
    head: &Parts,
    path: &str,
    prompt: Option<&Prompt<'_>>,
    flight: &mut Flight,
) -> Result<(), Refusal> {
    let settings = &snapshot.settings.identity;
    let model = prompt.and_then(|prompt| prompt.model.as_deref());
    if let Some(key) = identified.key.as_ref().filter(|key| key.models.is_some() && prompt.is_some())
        && !model.is_some_and(|model| key.may_ask(model))
    {
        return Err(Refusal::model_not_allowed());
    }
    let scope = Scope::sharing(&identified.caller, settings.ids_belong_to);
    let own = |id: &str| match callers.owners.check(id, scope) {
        Ownership::Mine { session } => Ok(session),
        Ownership::Theirs => Err(Refusal::not_yours()),
        Ownership::Unknown if settings.unknown_ids == UnknownIds::Refuse => Err(Refusal::not_yours()),
        Ownership::Unknown => Ok(None),
    };
    let mut linked = None;
    if settings.remembered_ids > 0 {
        for (_, id) in ids_in_path(path) {
            own(id)?;
        }
        for field in prompt.map(|prompt| prompt.fields(&ID_KEYS)).unwrap_or_default() {
            if id_in_body(&field.key, field.parent.as_deref(), &field.value).is_some() {
                let session = own(&field.value)?;
                if field.key == "previous_response_id" {
                    linked = session;
                }
            }
        }
    }
    let metadata = prompt.and_then(Prompt::session);
    let opening = prompt.filter(|_| settings.session_from_opening).and_then(opening);
    let signs = Signs {
        header: session_header(&head.headers, settings.session_header.as_deref()),
        metadata: metadata.as_deref(),
        conversation: prompt.and_then(|prompt| prompt.conversation.as_deref()),
        linked: linked.as_ref(),
        previous: prompt.and_then(|prompt| prompt.previous.as_deref()),
        opening,
    };
    identified.caller.session = session(&callers.sessions, &identified.caller, &signs);
    let owner = Owner { owners: Arc::clone(&callers.owners), scope, session: identified.caller.session.clone() };
    flight.owned_by(owner);
    let session = identified.caller.session.clone();
    flight.note(|record| record.caller.session = session);
    Ok(())
}

/// Keys under which ids of providers stand, or what those keys end in.
const ID_KEYS: [&str; 7] = ["_id", "_ids", "conversation", "container", "training_file", "validation_file", "id"];

fn opening<'p>(prompt: &'p Prompt<'_>) -> Option<Opening<'p>> {
    let first = |roles: &[Role]| prompt.spans.iter().find(|span| roles.contains(&span.role)).map(|span| &*span.text);
    let user = first(&[Role::User])?;
    Some(Opening { system: first(&[Role::System, Role::Developer]).unwrap_or_default(), user })
}

impl Owner {
    /// A provider issued this id to the caller. Where that is news, what the store is to remember: the hashes of the id
    /// and of the caller.
    pub(super) fn issued(&self, id: &str) -> Option<(String, String)> {
        let is_news = self.owners.issued(id, self.scope, self.session.as_ref());
        let hash = self.owners.hash(id).filter(|_| is_news)?;
        Some((hex(&hash.0), hex(self.scope.as_bytes())))
    }
}

/// Whether a caller is one of ours, so that its credential is not for a provider.
pub(super) fn is_ours(caller: &Caller) -> bool {
    use crate::types::CallerKind;
    matches!(caller.kind, CallerKind::Key | CallerKind::Token)
}
