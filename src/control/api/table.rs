//! Every route with what it asks of whoever calls: router and OpenAPI document are both made from this table.

use axum::Router;
use axum::middleware::from_fn_with_state;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::schema::AdditionalProperties;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, InfoBuilder, OpenApi, OpenApiBuilder, RefOr, ResponseBuilder, Schema, SecurityRequirement,
    extensions,
};
use utoipa::{PartialSchema as _, ToSchema as _};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter, UtoipaMethodRouterExt as _};
use utoipa_axum::routes;

use super::error::ErrorBody;
use super::guard::guard;
use super::roles::Permission;
use super::{
    App, accounts, audit, callers, config, conversations, coverage, erasures, events, exports, keys, learn, ledger,
    login, oidc, orders, overview, policies, reports, rule_hits, rules, scan, sessions, setup, soc, status, tokens,
    trying,
};
use crate::config::admin_settings::Admin;
use crate::types::AccessRole;

/// One route and what it asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteInfo {
    /// `GET`, `POST`, ...
    pub method: &'static str,
    /// With names in braces.
    pub path: String,
    /// What it asks for.
    pub permission: Permission,
}

type Entry = (Permission, UtoipaMethodRouter<App>);

/// Every route: one line each.
fn table() -> Vec<Entry> {
    use Permission::{
        Configure, Decide, GiveOrders, ManageAccounts, ManageKeys, Public, Read, ReadAccounts, ReadAudit, ReadConfig,
        ReadEvents, ReadKeys, ReadLedger, Reveal, SignedIn, WorkOnEvents,
    };
    vec![
        (Public, routes!(status::openapi)),
        (Public, routes!(setup::state)),
        (Public, routes!(setup::setup)),
        (Public, routes!(login::login)),
        (Public, routes!(oidc::begin)),
        (Public, routes!(oidc::callback)),
        (SignedIn, routes!(login::logout)),
        (SignedIn, routes!(login::logout_all)),
        (SignedIn, routes!(login::me)),
        (SignedIn, routes!(login::password)),
        (SignedIn, routes!(sessions::list)),
        (SignedIn, routes!(sessions::end)),
        (SignedIn, routes!(tokens::list)),
        (SignedIn, routes!(tokens::create)),
        (SignedIn, routes!(tokens::revoke)),
        (ReadAccounts, routes!(accounts::list)),
        (ManageAccounts, routes!(accounts::create)),
        (ReadAccounts, routes!(accounts::get)),
        (ManageAccounts, routes!(accounts::change)),
        (ManageAccounts, routes!(accounts::remove)),
        (ManageAccounts, routes!(accounts::password)),
        (ManageAccounts, routes!(accounts::logout)),
        (ReadKeys, routes!(keys::list)),
        (ManageKeys, routes!(keys::issue)),
        (ReadKeys, routes!(keys::get)),
        (ManageKeys, routes!(keys::change)),
        (ManageKeys, routes!(keys::rotate)),
        (ManageKeys, routes!(keys::revoke)),
        (Read, routes!(policies::list)),
        (Read, routes!(policies::get)),
        (Read, routes!(policies::explain)),
        (Configure, routes!(policies::validate)),
        (Read, routes!(policies::limits)),
        (Read, routes!(policies::budgets)),
        (ReadLedger, routes!(ledger::spend)),
        (Read, routes!(orders::list)),
        (GiveOrders, routes!(orders::give)),
        (Read, routes!(orders::get)),
        (GiveOrders, routes!(orders::lift)),
        (ReadEvents, routes!(overview::overview)),
        (ReadEvents, routes!(events::list)),
        (ReadEvents, routes!(events::get)),
        (ReadEvents, routes!(events::notices)),
        (Reveal, routes!(events::reveal)),
        (ReadEvents, routes!(conversations::list)),
        (ManageAccounts, routes!(erasures::erase)),
        (ReadAudit, routes!(audit::list)),
        (ReadAudit, routes!(audit::head)),
        (ReadAudit, routes!(audit::checkpoints)),
        (Configure, routes!(audit::rotate)),
        (ReadAudit, routes!(audit::verify)),
        (ReadAudit, routes!(audit::verified)),
        (ReadEvents, routes!(callers::list)),
        (ReadEvents, routes!(callers::activity)),
        (ReadConfig, routes!(config::get)),
        (Read, routes!(status::status)),
        (Configure, routes!(status::reload)),
        (ReadEvents, routes!(soc::alerts::list)),
        (ReadEvents, routes!(soc::alerts::counts)),
        (ReadEvents, routes!(soc::alerts::get)),
        (WorkOnEvents, routes!(soc::alert_changes::change)),
        (WorkOnEvents, routes!(soc::alert_changes::bulk)),
        (WorkOnEvents, routes!(soc::alert_changes::merge)),
        (WorkOnEvents, routes!(soc::alert_changes::comment)),
        (ReadEvents, routes!(soc::incidents::list)),
        (ReadEvents, routes!(soc::incidents::get)),
        (WorkOnEvents, routes!(soc::incident_changes::change)),
        (WorkOnEvents, routes!(soc::incident_changes::merge)),
        (WorkOnEvents, routes!(soc::incident_changes::comment)),
        (WorkOnEvents, routes!(soc::incident_changes::analyse)),
        (ReadEvents, routes!(soc::plans::list)),
        (ReadEvents, routes!(soc::plans::get)),
        (WorkOnEvents, routes!(soc::plans::propose)),
        (Decide, routes!(soc::plans::approve)),
        (Decide, routes!(soc::plans::deny)),
        (ReadEvents, routes!(soc::approvals::inbox)),
        (ReadEvents, routes!(soc::tool_holds::list)),
        (ReadEvents, routes!(soc::tool_holds::get)),
        (Decide, routes!(soc::tool_holds::grant)),
        (Decide, routes!(soc::tool_holds::deny)),
        (ReadEvents, routes!(soc::remedies::list)),
        (ReadEvents, routes!(soc::remedies::get)),
        (Decide, routes!(soc::remedies::undo)),
        (ReadEvents, routes!(soc::playbooks::list)),
        (ReadEvents, routes!(soc::playbooks::get)),
        (Read, routes!(soc::status::status)),
        (Read, routes!(soc::monitoring::get)),
        (Configure, routes!(soc::monitoring::off)),
        (Configure, routes!(soc::monitoring::on)),
        (Public, routes!(soc::ingest::ingest)),
        (ReadEvents, routes!(soc::live::live)),
        (Read, routes!(exports::list)),
        (Configure, routes!(exports::test)),
        (ReadEvents, routes!(exports::dead_letters)),
        (Configure, routes!(exports::retry)),
        (Configure, routes!(exports::forget)),
        (Read, routes!(rules::list)),
        (ReadEvents, routes!(rule_hits::hits)),
        (Read, routes!(rules::get)),
        (ReadEvents, routes!(scan::scan)),
        (Read, routes!(coverage::coverage)),
        (Read, routes!(learn::proposals::status)),
        (ReadEvents, routes!(learn::reports::list)),
        (WorkOnEvents, routes!(learn::reports::report)),
        (WorkOnEvents, routes!(learn::reports::get)),
        (Decide, routes!(learn::reports::confirm)),
        (Decide, routes!(learn::reports::dismiss)),
        (ReadEvents, routes!(learn::proposals::list)),
        (ReadEvents, routes!(learn::proposals::get)),
        (WorkOnEvents, routes!(learn::proposals::rules)),
        (WorkOnEvents, routes!(learn::proposals::variations)),
        (Decide, routes!(learn::proposals::approve)),
        (Decide, routes!(learn::proposals::promote)),
        (Decide, routes!(learn::proposals::reject)),
        (Decide, routes!(learn::proposals::rollback)),
        (Decide, routes!(learn::proposals::insist)),
        (Decide, routes!(learn::proposals::import)),
        (WorkOnEvents, routes!(learn::proposals::export)),
        (WorkOnEvents, routes!(learn::harmless::list)),
        (Decide, routes!(learn::harmless::add)),
        (Decide, routes!(learn::harmless::remove)),
        (WorkOnEvents, routes!(trying::chat::models)),
        (WorkOnEvents, routes!(trying::chat::ask)),
        (ReadEvents, routes!(trying::lab::scenarios)),
        (ReadEvents, routes!(trying::lab::list)),
        (ReadEvents, routes!(trying::lab::get)),
        (WorkOnEvents, routes!(trying::lab::begin)),
        (WorkOnEvents, routes!(trying::lab::cancel)),
        (ReadEvents, routes!(trying::lab::report)),
        (ReadEvents, routes!(reports::list)),
        (ReadEvents, routes!(reports::make)),
        (ReadEvents, routes!(reports::frameworks)),
        (ReadEvents, routes!(reports::get)),
        (Configure, routes!(reports::remove)),
    ]
}

/// The routes, each behind its guard.
pub(super) fn router(app: &App) -> Router<App> {
    let mut router = OpenApiRouter::new();
    for (permission, route) in table() {
        let layer = from_fn_with_state((app.clone(), permission), guard);
        router = router.routes(route.map(|methods| methods.route_layer(layer)));
    }
    router.into()
}

/// What there is, for tests and documentation.
pub fn list() -> Vec<RouteInfo> {
    let mut all = Vec::new();
    for (permission, (_, paths, _)) in table() {
        for (path, mut item) in paths.paths {
            for (method, slot) in methods(&mut item) {
                if slot.is_some() {
                    all.push(RouteInfo { method, path: path.clone(), permission });
                }
            }
        }
    }
    all
}

fn methods(item: &mut PathItem) -> [(&'static str, &mut Option<Operation>); 5] {
    [
        ("GET", &mut item.get),
        ("POST", &mut item.post),
        ("PUT", &mut item.put),
        ("PATCH", &mut item.patch),
        ("DELETE", &mut item.delete),
    ]
}

/// The OpenAPI document.
pub fn document() -> OpenApi {
    let reveal = Admin::default().reveal_roles;
    let info = InfoBuilder::new()
        .title("Portcullis admin API")
        .version("1")
        .description(Some(
            "Accounts, keys, policies, limits, standing orders, events and the audit trail of a Portcullis gateway. \
             Times are Unix time in microseconds. Every change is recorded in the audit trail before it is made; \
             `x-roles` names the roles that may call an operation.",
        ))
        .build();
    let mut router = OpenApiRouter::with_openapi(OpenApiBuilder::new().info(info).build());
    for (permission, (schemas, mut paths, methods)) in table() {
        for (path, item) in &mut paths.paths {
            describe(path, item, permission, &reveal);
        }
        router = router.routes((schemas, paths, methods));
    }
    let mut document = router.into_openapi();
    let components = document.components.get_or_insert_default();
    let mut schemas = Vec::new();
    ErrorBody::schemas(&mut schemas);
    components.schemas.extend(schemas);
    components.schemas.insert(ErrorBody::name().into_owned(), ErrorBody::schema());
    for name in ["SubjectView", "MeasureView", "ActionView"] {
        if let Some(schema) = components.schemas.get_mut(name) {
            close(schema);
        }
    }
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("pct_...").build();
    components.add_security_scheme("token", SecurityScheme::Http(bearer));
    let cookie = ApiKeyValue::with_description("__Host-portcullis", "With `x-portcullis-csrf` for every change.");
    components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    document
}

/// Says of each variant of an enum that unknown fields are refused, which the derive does not.
fn close(schema: &mut RefOr<Schema>) {
    let RefOr::T(Schema::OneOf(variants)) = schema else { return };
    for variant in &mut variants.items {
        if let RefOr::T(Schema::Object(object)) = variant {
            object.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
        }
    }
}

/// Adds to an operation what the table says of it, and the answers that every operation may give.
fn describe(path: &str, item: &mut PathItem, permission: Permission, reveal: &[AccessRole]) {
    for (method, slot) in methods(item) {
        let Some(operation) = slot else { continue };
        let mut answers = vec![
            ("400", "It cannot be read."),
            ("414", "The request target is too long."),
            ("421", "This host name is not served here."),
            ("503", "Something that is needed does not answer."),
        ];
        if method != "GET" {
            answers.push(("403", "It is not allowed."));
            answers.push(("409", "Not as things are."));
        }
        if operation.request_body.is_some() {
            answers.push(("413", "The body is too large."));
            answers.push(("415", "The body is no JSON."));
            answers.push(("422", "It can be read but not done."));
        }
        if permission == Permission::Public {
            operation.security = Some(Vec::new());
            answers.push(("401", "The credentials are wrong."));
            answers.push(("403", "It is not allowed."));
            answers.push(("429", "Too many wrong tries."));
        } else {
            let none: [&str; 0] = [];
            operation.security =
                Some(vec![SecurityRequirement::new("token", none), SecurityRequirement::new("session", none)]);
            answers.push(("401", "Nobody, or nobody any more."));
            answers.push(("403", "None of the roles may do this."));
            let roles: Vec<_> = permission.roles(reveal).into_iter().map(AccessRole::name).collect();
            operation.extensions = Some(extensions::ExtensionsBuilder::new().add("x-roles", roles).build());
        }
        if path.contains('{') {
            answers.push(("404", "There is none."));
        }
        for (status, told) in answers {
            operation.responses.responses.entry(status.to_owned()).or_insert_with(|| RefOr::T(error_answer(told)));
        }
    }
}

fn error_answer(told: &str) -> utoipa::openapi::Response {
    let body = ContentBuilder::new().schema(Some(utoipa::openapi::Ref::from_schema_name(ErrorBody::name()))).build();
    ResponseBuilder::new().description(told).content("application/json", body).build()
}
