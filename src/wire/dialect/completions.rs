//! OpenAI completions (legacy).

use super::Request;
use super::parts::{self, harden_nothing, require_common};
use crate::types::Role;
use crate::wire::collect::Reading;
use crate::wire::json::{BadBody, Document, Kind};
use crate::wire::prompt::{At, Zone};
use crate::wire::walk::Visit;

pub(super) static REQUEST: Request =
    Request { root: At { zone: Zone::Top, role: Role::Parameter }, enter, require, harden: harden_nothing };

fn enter(_: &Document<'_, '_>, at: At, visit: Visit<'_>) -> At {
    match (at.zone, visit.key) {
        (Zone::Top, "prompt") => At::value(Reading::Tokens, Role::User),
        (Zone::Top, "suffix") => At::value(Reading::Text, Role::User),
        (Zone::Top, _) => At::value(Reading::Field, Role::Parameter),
        (Zone::Turns | Zone::Turn | Zone::Value(_), _) => at,
    }
}

fn require(doc: &Document<'_, '_>) -> Result<(), BadBody> {
    require_common(doc, true)?;
    parts::require(doc, "prompt", true, &[Kind::String, Kind::Array, Kind::Null], "a string or an array")
}
