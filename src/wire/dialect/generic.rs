//! Any other JSON: every leaf is text of the user.

use super::Request;
use super::parts::{harden_nothing, require_nothing};
use crate::types::Role;
use crate::wire::collect::Reading;
use crate::wire::json::Document;
use crate::wire::prompt::At;
use crate::wire::walk::Visit;

pub(super) static REQUEST: Request =
    Request { root: At::value(Reading::Text, Role::User), enter, require: require_nothing, harden: harden_nothing };

fn enter(_: &Document<'_, '_>, at: At, _: Visit<'_>) -> At {
    at
}
