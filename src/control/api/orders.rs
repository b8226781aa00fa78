//! Standing orders: given and lifted.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::change::Change;
use super::door::Refresh;
use super::error::ApiError;
use super::extract::{Asked, Body, Named};
use super::guard::Principal;
use super::words::{Limit, Page, Reason, Seconds, Whole, Word, new_id, object};
use crate::store::{OrderFilter, StoreError, StoredOrder};
use crate::types::{Measure, Order, Subject};

/// Whom an order is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum SubjectView {
    /// An address or a range of them.
    Network {
        /// `192.0.2.7`, `192.0.2.0/24`, `2001:db8::/48`.
        #[schema(value_type = String, pattern = "^[0-9A-Fa-f:.]{2,45}(/[0-9]{1,3})?$", examples("192.0.2.0/24"))]
        network: Word,
    },
    /// Everyone of a tenant.
    Tenant {
        /// Its name.
        name: Word,
    },
    /// Everyone of a team.
    Team {
        /// Its name.
        name: Word,
    },
    /// A user.
    User {
        /// Its name.
        name: Word,
    },
    /// A gateway key, by its id.
    Key {
        /// Its id.
        name: Word,
    },
    /// A session.
    Session {
        /// Its id.
        name: Word,
    },
    /// An agent.
    Agent {
        /// Its name.
        name: Word,
    },
}

/// What an order does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum MeasureView {
    /// Refused at once; live streams are cut.
    Block {},
    /// Read and judged as evidence, but refused; live streams are cut.
    Quarantine {},
    /// At most so many requests in so many seconds.
    Limit {
        /// Requests.
        #[schema(value_type = u32, minimum = 1, maximum = 1_000_000)]
        requests: Upto<1_000_000>,
        /// Seconds.
        #[schema(value_type = u32, minimum = 1, maximum = 86_400)]
        seconds: Upto<86_400>,
    },
    /// Judged by the strict thresholds; refuses nothing by itself.
    Tighten {},
}

/// A number from 1 on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Whole")]
pub struct Upto<const MOST: u32>(u32);

impl<const MOST: u32> Upto<MOST> {
    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl<const MOST: u32> TryFrom<Whole> for Upto<MOST> {
    type Error = &'static str;

    fn try_from(Whole(number): Whole) -> Result<Self, &'static str> {
        if (1..=MOST).contains(&number) { Ok(Self(number)) } else { Err("it is out of bounds") }
    }
}

/// One order.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct OrderView {
    /// Its id.
    pub id: String,
    /// Whom it is about.
    pub subject: SubjectView,
    /// What they get.
    pub measure: MeasureView,
    /// Why.
    pub reason: String,
    /// Who gave it.
    pub made_by: String,
    /// When: Unix time in microseconds.
    pub made: i64,
    /// Until when: Unix time in microseconds; none: until it is lifted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<i64>,
    /// When it was lifted: Unix time in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifted: Option<i64>,
    /// Who lifted it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifted_by: Option<String>,
    /// Whether it is in force.
    pub in_force: bool,
}

/// A new order.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewOrder {
    /// Whom it is about.
    #[serde(deserialize_with = "object")]
    #[schema(value_type = SubjectView)]
    subject: SubjectView,
    /// What they get.
    #[serde(deserialize_with = "object")]
    #[schema(value_type = MeasureView)]
    measure: MeasureView,
    /// Why.
    reason: Reason,
    /// For how long, in seconds; none: until it is lifted.
    #[serde(default)]
    expires_in: Option<Seconds>,
}

/// Which orders.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct OrderQuery {
    /// At most so many entries; 50 unless said otherwise.
    #[serde(default)]
    #[param(value_type = u32, minimum = 1, maximum = 500)]
    limit: Limit,
    /// The `next` of the page before.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    before: Option<Word>,
    /// About one of this kind: `network`, `tenant`, `team`, `user`, `key`, `session`, `agent`; with `name`.
    #[serde(default)]
    #[param(value_type = String, pattern = "^(network|tenant|team|user|key|session|agent)$")]
    kind: Option<Word>,
    /// About the one of this name; of an address only what is about that address alone.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    name: Option<Word>,
    /// `true`: only those that are in force.
    #[serde(default)]
    in_force: bool,
}

/// The widest ranges that one order may be about: a slip of the pen must not block the world.
const WIDEST: (u8, u8) = (8, 16);

pub(super) fn subject(view: SubjectView) -> Result<Subject, ApiError> {
    let text = |name: Word| -> Arc<str> { String::from(name).into() };
    Ok(match view {
        SubjectView::Network { network } => read_network(network.text())?,
        SubjectView::Tenant { name } => Subject::Tenant { name: text(name) },
        SubjectView::Team { name } => Subject::Team { name: text(name) },
        SubjectView::User { name } => Subject::User { name: text(name) },
        SubjectView::Key { name } => Subject::Key { name: text(name) },
        SubjectView::Session { name } => Subject::Session { name: text(name) },
        SubjectView::Agent { name } => Subject::Agent { name: text(name) },
    })
}

/// Whom orders are asked about.
fn asked_about(kind: Option<Word>, name: Option<Word>) -> Result<Option<Subject>, ApiError> {
    let (kind, name) = match (kind, name) {
        (None, None) => return Ok(None),
        (Some(kind), Some(name)) => (kind, name),
        (Some(_), None) | (None, Some(_)) => {
            return Err(ApiError::bad("invalid_subject", "`kind` and `name` are asked for together."));
        }
    };
    let view = match kind.text() {
        "network" => SubjectView::Network { network: name },
        "tenant" => SubjectView::Tenant { name },
        "team" => SubjectView::Team { name },
        "user" => SubjectView::User { name },
        "key" => SubjectView::Key { name },
        "session" => SubjectView::Session { name },
        "agent" => SubjectView::Agent { name },
        _ => return Err(ApiError::bad("invalid_subject", "Orders are about nobody of this kind.")),
    };
    let wrong = |_| ApiError::bad("invalid_subject", "A network is an address, or an address/prefix.");
    subject(view).map(Some).map_err(wrong)
}

/// An order about a key is about its whole line: the keys it replaced, and those that replace it.
pub(super) async fn of_family(app: &App, subject: Subject) -> Result<Subject, ApiError> {
    let Subject::Key { name } = subject else { return Ok(subject) };
    let first = app.database.key(&name).await?.and_then(|key| key.rotated_from);
    // A key of the configuration has a name and no row.
    Ok(Subject::Key { name: first.map_or(name, Arc::from) })
}

fn read_network(text: &str) -> Result<Subject, ApiError> {
    let wrong = || ApiError::invalid("invalid_network", "A network is an address, or an address/prefix.");
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix.parse::<u8>().map_err(|_| wrong())?)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let written_as_six = address.is_ipv6();
    let address = address.to_canonical();
    let (most, widest) = if address.is_ipv4() { (32, WIDEST.0) } else { (128, WIDEST.1) };
    // ::ffff:192.0.2.0/120 is 192.0.2.0/24.
    let shift = if written_as_six && address.is_ipv4() { 96 } else { 0 };
    let prefix = match prefix {
        None => most,
        Some(prefix) => prefix.checked_sub(shift).filter(|prefix| *prefix <= most).ok_or_else(wrong)?,
    };
    if prefix < widest {
        let told = format!("An order is about a /{widest} at the widest.");
        return Err(ApiError::invalid("network_too_wide", told));
    }
    Ok(Subject::Network { address, prefix })
}

impl From<&Subject> for SubjectView {
    fn from(subject: &Subject) -> Self {
        let word = |name: &str| Word::try_from(name.to_owned()).unwrap_or_else(|_| Word::unreadable());
        match subject {
            Subject::Network { address, prefix } => Self::Network { network: word(&format!("{address}/{prefix}")) },
            Subject::Tenant { name } => Self::Tenant { name: word(name) },
            Subject::Team { name } => Self::Team { name: word(name) },
            Subject::User { name } => Self::User { name: word(name) },
            Subject::Key { name } => Self::Key { name: word(name) },
            Subject::Session { name } => Self::Session { name: word(name) },
            Subject::Agent { name } => Self::Agent { name: word(name) },
        }
    }
}

fn measure(view: MeasureView) -> Measure {
    match view {
        MeasureView::Block {} => Measure::Block,
        MeasureView::Quarantine {} => Measure::Quarantine,
        MeasureView::Limit { requests, seconds } => Measure::Limit { requests: requests.0, seconds: seconds.0 },
        MeasureView::Tighten {} => Measure::Tighten,
    }
}

fn view(stored: StoredOrder, now: i64) -> OrderView {
    let order = stored.order;
    OrderView {
        subject: SubjectView::from(&order.subject),
        measure: match order.measure {
            Measure::Block => MeasureView::Block {},
            Measure::Quarantine => MeasureView::Quarantine {},
            Measure::Limit { requests, seconds } => {
                MeasureView::Limit { requests: Upto(requests), seconds: Upto(seconds) }
            }
            Measure::Tighten => MeasureView::Tighten {},
        },
        in_force: stored.lifted.is_none() && order.in_force(now),
        id: order.id.to_string(),
        reason: order.reason.to_string(),
        made_by: order.made_by.to_string(),
        made: order.made,
        expires: order.expires,
        lifted: stored.lifted,
        lifted_by: stored.lifted_by,
    }
}

fn noted(order: &Order) -> Value {
    json!({ "subject": order.subject, "measure": order.measure, "reason": order.reason, "expires": order.expires })
}

/// Standing orders, newest first, those that ended too.
#[utoipa::path(get, path = "/api/v1/orders", tag = "orders", params(OrderQuery),
    responses((status = 200, description = "A page of orders.", body = Page<OrderView>)))]
pub async fn list(State(app): State<App>, Asked(asked): Asked<OrderQuery>) -> Result<Json<Page<OrderView>>, ApiError> {
    let (limit, now) = (asked.limit.get(&app), app.now());
    let subject = match asked_about(asked.kind, asked.name)? {
        Some(subject) => Some(of_family(&app, subject).await?),
        None => None,
    };
    let in_force = asked.in_force.then_some(now);
    let filter = OrderFilter { subject, in_force, before: asked.before.map(String::from) };
    let found = app.database.orders(&filter, limit).await?;
    let items = found.into_iter().map(|order| view(order, now)).collect();
    Ok(Json(Page::new(items, limit, |order: &OrderView| order.id.clone())))
}

/// One standing order.
#[utoipa::path(get, path = "/api/v1/orders/{id}", tag = "orders", params(("id" = String, Path, max_length = 64)),
    responses((status = 200, description = "The order.", body = OrderView)))]
pub async fn get(State(app): State<App>, Named(id): Named<String>) -> Result<Json<OrderView>, ApiError> {
    let found = app.database.order(&id).await?.ok_or_else(|| ApiError::not_found("order"))?;
    Ok(Json(view(found, app.now())))
}

/// Gives a standing order, effective at once.
#[utoipa::path(post, path = "/api/v1/orders", tag = "orders", request_body = NewOrder,
    responses((status = 201, description = "Given.", body = OrderView)))]
pub async fn give(
    State(app): State<App>,
    who: Principal,
    Body(asked): Body<NewOrder>,
) -> Result<(StatusCode, Json<OrderView>), ApiError> {
    let now = app.now();
    let order = Order {
        id: new_id("ord").into(),
        subject: of_family(&app, subject(asked.subject)?).await?,
        measure: measure(asked.measure),
        reason: String::from(asked.reason).into(),
        made_by: Arc::clone(&who.name),
        made: now,
        expires: asked.expires_in.map(|life| life.after(now)),
    };
    let change = Change::new("order", "order.give", who.actor(), format!("order/{}", order.id)).after(noted(&order));
    change.make(&app, app.database.insert_order(&order)).await?;
    app.doors.gateway.refresh(Refresh::Orders).await?;
    Ok((StatusCode::CREATED, Json(view(StoredOrder { order, lifted: None, lifted_by: None }, now))))
}

/// Lifts a standing order, effective at once.
#[utoipa::path(delete, path = "/api/v1/orders/{id}", tag = "orders", params(("id" = String, Path, max_length = 64)),
    responses((status = 204, description = "Lifted.")))]
pub async fn lift(State(app): State<App>, who: Principal, Named(id): Named<String>) -> Result<StatusCode, ApiError> {
    let found = app.database.order(&id).await?.ok_or_else(|| ApiError::not_found("order"))?;
    let now = app.now();
    if found.lifted.is_some() || !found.order.in_force(now) {
        return Err(ApiError::conflict("order_ended", "This order is not in force any more."));
    }
    let change = Change::new("order", "order.lift", who.actor(), format!("order/{id}")).before(noted(&found.order));
    let work = async {
        match app.database.lift_order(&id, &who.name, now).await {
            Err(StoreError::Missing(_)) => Err(ApiError::not_found("order")),
            other => Ok(other?),
        }
    };
    change.make(&app, work).await?;
    app.doors.gateway.refresh(Refresh::Orders).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_as_people_write_them_and_never_too_wide() {
        let read = |text: &str| match read_network(text) {
            Ok(Subject::Network { address, prefix }) => format!("{address}/{prefix}"),
            Ok(_) => "other".to_owned(),
            Err(error) => error.code().to_owned(),
        };
        assert_eq!(read("192.0.2.7"), "192.0.2.7/32");
        assert_eq!(read("192.0.2.0/24"), "192.0.2.0/24");
        assert_eq!(read("::ffff:192.0.2.7"), "192.0.2.7/32");
        assert_eq!(read("::ffff:192.0.2.0/120"), "192.0.2.0/24");
        assert_eq!(read("2001:db8::/48"), "2001:db8::/48");
        assert_eq!(read("0.0.0.0/0"), "network_too_wide");
        assert_eq!(read("::/0"), "network_too_wide");
        for text in ["", "192.0.2", "192.0.2.7/33", "192.0.2.7/-1", "example.org", "::ffff:192.0.2.0/24"] {
            assert_eq!(read(text), "invalid_network", "{text}");
        }
    }
}
