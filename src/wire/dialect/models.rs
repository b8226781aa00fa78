//! The lists of models of OpenAI and Anthropic. Requests have no body; one that has is read as text.

use super::Request;
use super::parts::{harden_nothing, require_nothing};
use crate::types::Role;
use crate::wire::collect::Reading;
use crate::wire::json::Document;
use crate::wire::prompt::At;
use crate::wire::walk::Visit;

pub(super) static REQUEST: Request = Request {
    root: At::value(Reading::Text, Role::Parameter),
    enter,
    require: require_nothing,
    harden: harden_nothing,
};

fn enter(_: &Document<'_, '_>, at: At, _: Visit<'_>) -> At {
    at
}
