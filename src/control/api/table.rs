//! Every route with what it asks of whoever calls: router and OpenAPI document are both made from this table.

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::MethodRouter;
use utoipa::openapi::path::{HttpMethod, Operation, PathItem, Paths};
use utoipa::openapi::schema::AdditionalProperties;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, InfoBuilder, OpenApi, OpenApiBuilder, RefOr, ResponseBuilder, Schema, SecurityRequirement,
    extensions,
};
use utoipa::{PartialSchema as _, ToSchema as _};
use utoipa_axum::PathItemExt as _;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter, UtoipaMethodRouterExt as _};

use super::error::ErrorBody;
use super::guard::guard;
use super::handler::AnyHandler;
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

/// The route that a handler's description names. As `utoipa_axum::routes`, whose inner rule it uses, but the handler loses
/// its type before axum sees it.
macro_rules! route {
    ($handler:path) => {{
        let mut schemas = Vec::new();
        let (path, operation, methods) = utoipa_axum::routes!(@resolve_types $handler : schemas);
        described(schemas, &path, operation, methods, &AnyHandler::new($handler))
    }};
}

fn described(
    schemas: Vec<(String, RefOr<Schema>)>,
    path: &str,
    operation: Operation,
    methods: Vec<HttpMethod>,
    handler: &AnyHandler,
) -> UtoipaMethodRouter<App> {
    let router = methods
        .iter()
        .fold(MethodRouter::new(), |router, method| router.on(method.to_method_filter(), handler.clone()));
    let mut paths = Paths::new();
    paths.add_path_operation(path, methods, operation);
    (schemas, paths, router)
}

/// Every route: one line each.
fn table() -> Vec<Entry> {
    use Permission::{
        Configure, Decide, GiveOrders, ManageAccounts, ManageKeys, Public, Read, ReadAccounts, ReadAudit, ReadConfig,
        ReadEvents, ReadKeys, ReadLedger, Reveal, SignedIn, WorkOnEvents,
    };
    vec![
        (Public, route!(status::openapi)),
        (Public, route!(setup::state)),
        (Public, route!(setup::setup)),
        (Public, route!(login::login)),
        (Public, route!(oidc::begin)),
        (Public, route!(oidc::callback)),
        (SignedIn, route!(login::logout)),
        (SignedIn, route!(login::logout_all)),
        (SignedIn, route!(login::me)),
        (SignedIn, route!(login::password)),
        (SignedIn, route!(sessions::list)),
        (SignedIn, route!(sessions::end)),
        (SignedIn, route!(tokens::list)),
        (SignedIn, route!(tokens::create)),
        (SignedIn, route!(tokens::revoke)),
        (ReadAccounts, route!(accounts::list)),
        (ManageAccounts, route!(accounts::create)),
        (ReadAccounts, route!(accounts::get)),
        (ManageAccounts, route!(accounts::change)),
        (ManageAccounts, route!(accounts::remove)),
        (ManageAccounts, route!(accounts::password)),
        (ManageAccounts, route!(accounts::logout)),
        (ReadKeys, route!(keys::list)),
        (ManageKeys, route!(keys::issue)),
        (ReadKeys, route!(keys::get)),
        (ManageKeys, route!(keys::change)),
        (ManageKeys, route!(keys::rotate)),
        (ManageKeys, route!(keys::revoke)),
        (Read, route!(policies::list)),
        (Read, route!(policies::get)),
        (Read, route!(policies::explain)),
        (Configure, route!(policies::validate)),
        (Read, route!(policies::limits)),
        (Read, route!(policies::budgets)),
        (ReadLedger, route!(ledger::spend)),
        (Read, route!(orders::list)),
        (GiveOrders, route!(orders::give)),
        (Read, route!(orders::get)),
        (GiveOrders, route!(orders::lift)),
        (ReadEvents, route!(overview::overview)),
        (ReadEvents, route!(events::list)),
        (ReadEvents, route!(events::get)),
        (ReadEvents, route!(events::notices)),
        (Reveal, route!(events::reveal)),
        (ReadEvents, route!(conversations::list)),
        (ManageAccounts, route!(erasures::erase)),
        (ReadAudit, route!(audit::list)),
        (ReadAudit, route!(audit::head)),
        (ReadAudit, route!(audit::checkpoints)),
        (Configure, route!(audit::rotate)),
        (ReadAudit, route!(audit::verify)),
        (ReadAudit, route!(audit::verified)),
        (ReadEvents, route!(callers::list)),
        (ReadEvents, route!(callers::activity)),
        (ReadConfig, route!(config::get)),
        (Read, route!(status::status)),
        (Configure, route!(status::reload)),
        (ReadEvents, route!(soc::alerts::list)),
        (ReadEvents, route!(soc::alerts::counts)),
        (ReadEvents, route!(soc::alerts::get)),
        (WorkOnEvents, route!(soc::alert_changes::change)),
        (WorkOnEvents, route!(soc::alert_changes::bulk)),
        (WorkOnEvents, route!(soc::alert_changes::merge)),
        (WorkOnEvents, route!(soc::alert_changes::comment)),
        (ReadEvents, route!(soc::incidents::list)),
        (ReadEvents, route!(soc::incidents::get)),
        (WorkOnEvents, route!(soc::incident_changes::change)),
        (WorkOnEvents, route!(soc::incident_changes::merge)),
        (WorkOnEvents, route!(soc::incident_changes::comment)),
        (WorkOnEvents, route!(soc::incident_changes::analyse)),
        (ReadEvents, route!(soc::plans::list)),
        (ReadEvents, route!(soc::plans::get)),
        (WorkOnEvents, route!(soc::plans::propose)),
        (Decide, route!(soc::plans::approve)),
        (Decide, route!(soc::plans::deny)),
        (ReadEvents, route!(soc::approvals::inbox)),
        (ReadEvents, route!(soc::tool_holds::list)),
        (ReadEvents, route!(soc::tool_holds::get)),
        (Decide, route!(soc::tool_holds::grant)),
        (Decide, route!(soc::tool_holds::deny)),
        (ReadEvents, route!(soc::remedies::list)),
        (ReadEvents, route!(soc::remedies::get)),
        (Decide, route!(soc::remedies::undo)),
        (ReadEvents, route!(soc::playbooks::list)),
        (ReadEvents, route!(soc::playbooks::get)),
        (Read, route!(soc::status::status)),
        (Read, route!(soc::monitoring::get)),
        (Configure, route!(soc::monitoring::off)),
        (Configure, route!(soc::monitoring::on)),
        (Public, route!(soc::ingest::ingest)),
        (ReadEvents, route!(soc::live::live)),
        (Read, route!(exports::list)),
        (Configure, route!(exports::test)),
        (ReadEvents, route!(exports::dead_letters)),
        (Configure, route!(exports::retry)),
        (Configure, route!(exports::forget)),
        (Read, route!(rules::list)),
        (ReadEvents, route!(rule_hits::hits)),
        (Read, route!(rules::get)),
        (ReadEvents, route!(scan::scan)),
        (Read, route!(coverage::coverage)),
        (Read, route!(learn::proposals::status)),
        (ReadEvents, route!(learn::reports::list)),
        (WorkOnEvents, route!(learn::reports::report)),
        (WorkOnEvents, route!(learn::reports::get)),
        (Decide, route!(learn::reports::confirm)),
        (Decide, route!(learn::reports::dismiss)),
        (ReadEvents, route!(learn::proposals::list)),
        (ReadEvents, route!(learn::proposals::get)),
        (WorkOnEvents, route!(learn::proposals::rules)),
        (WorkOnEvents, route!(learn::proposals::variations)),
        (Decide, route!(learn::proposals::approve)),
        (Decide, route!(learn::proposals::promote)),
        (Decide, route!(learn::proposals::reject)),
        (Decide, route!(learn::proposals::rollback)),
        (Decide, route!(learn::proposals::insist)),
        (Decide, route!(learn::proposals::import)),
        (WorkOnEvents, route!(learn::proposals::export)),
        (WorkOnEvents, route!(learn::harmless::list)),
        (Decide, route!(learn::harmless::add)),
        (Decide, route!(learn::harmless::remove)),
        (WorkOnEvents, route!(trying::chat::models)),
        (WorkOnEvents, route!(trying::chat::ask)),
        (ReadEvents, route!(trying::lab::scenarios)),
        (ReadEvents, route!(trying::lab::list)),
        (ReadEvents, route!(trying::lab::get)),
        (WorkOnEvents, route!(trying::lab::begin)),
        (WorkOnEvents, route!(trying::lab::cancel)),
        (ReadEvents, route!(trying::lab::report)),
        (ReadEvents, route!(reports::list)),
        (ReadEvents, route!(reports::make)),
        (ReadEvents, route!(reports::frameworks)),
        (ReadEvents, route!(reports::get)),
        (Configure, route!(reports::remove)),
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
