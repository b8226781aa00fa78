//! Conversations: requests put together by their session, to read.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::error::ApiError;
use super::extract::Asked;
use super::words::{Limit, Page, Word};
use crate::store;

/// How far back is looked where nothing is said, in microseconds.
const DAY: i64 = 86_400_000_000;
/// The longest period, in microseconds.
const LONGEST: i64 = 93 * DAY;

/// One conversation, as far as it lies in the period.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ConversationView {
    /// The session.
    pub session: String,
    /// Requests.
    pub requests: i64,
    /// When the first of them came: Unix time in microseconds.
    pub first: i64,
    /// When the last of them came: Unix time in microseconds.
    pub last: i64,
    /// Of them, blocked.
    pub blocked: i64,
    /// Of them, flagged or redacted.
    pub flagged: i64,
    /// The highest risk, 0 to 1.
    pub risk: f64,
    /// Tokens of prompts.
    pub input_tokens: i64,
    /// Tokens of answers.
    pub output_tokens: i64,
    /// What they cost, in billionths of a US dollar.
    pub cost_nano_usd: i64,
    /// How long they took together, in microseconds.
    pub micros: i64,
    /// The tenant; of several one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The user; of several one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The key, by its id; of several one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The agent; of several one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The model; of several one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

impl From<store::Conversation> for ConversationView {
    fn from(found: store::Conversation) -> Self {
        Self {
            session: found.session,
            requests: found.requests,
            first: found.first,
            last: found.last,
            blocked: found.blocked,
            flagged: found.flagged,
            risk: found.risk,
            input_tokens: found.input_tokens,
            output_tokens: found.output_tokens,
            cost_nano_usd: found.cost,
            micros: found.micros,
            tenant: found.tenant,
            user: found.user,
            key: found.key,
            agent: found.agent,
            model: found.model,
        }
    }
}

/// Which conversations.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ConversationQuery {
    /// With requests not before this: Unix time in microseconds; a day ago unless said otherwise, at most 93 days before `to`.
    #[serde(default)]
    #[param(value_type = i64)]
    from: Option<i64>,
    /// With requests before this: Unix time in microseconds.
    #[serde(default)]
    #[param(value_type = i64)]
    to: Option<i64>,
    /// Of this tenant.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    tenant: Option<Word>,
    /// Of this user.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    user: Option<Word>,
    /// With this key, by its id.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    key: Option<Word>,
    /// With a request that was decided so: `allow`, `flag`, `redact`, `block`.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    decision: Option<Word>,
    /// At most so many entries; 50 unless said otherwise.
    #[serde(default)]
    #[param(value_type = u32, minimum = 1, maximum = 500)]
    limit: Limit,
    /// The `next` of the page before.
    #[serde(default)]
    #[param(value_type = String, pattern = r"^[0-9]{1,18}~[^\x00-\x1f\x7f]{1,256}$")]
    before: Option<Cursor>,
}

/// Where a page ended: time and session, `~` between.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Cursor(i64, String);

impl TryFrom<String> for Cursor {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let wrong = "no place in a list";
        let (time, session) = text.split_once('~').ok_or(wrong)?;
        let digits = (1..=18).contains(&time.len()) && time.bytes().all(|byte| byte.is_ascii_digit());
        let time = time.parse().ok().filter(|_| digits).ok_or(wrong)?;
        let session = Word::try_from(session.to_owned()).map_err(|_| wrong)?;
        Ok(Self(time, session.into()))
    }
}

/// Conversations: requests put together by their session, that with the newest request first. Of a period with very many
/// requests the newest 100000 are looked at.
#[utoipa::path(get, path = "/api/v1/conversations", tag = "events", params(ConversationQuery),
    responses((status = 200, description = "A page of conversations.", body = Page<ConversationView>)))]
pub async fn list(
    State(app): State<App>,
    Asked(asked): Asked<ConversationQuery>,
) -> Result<Json<Page<ConversationView>>, ApiError> {
    let text = |word: Option<Word>| word.map(String::from);
    let limit = asked.limit.get(&app);
    let to = asked.to.unwrap_or_else(|| app.now().saturating_add(1));
    let from = asked.from.unwrap_or_else(|| to.saturating_sub(DAY));
    if to.saturating_sub(from) > LONGEST {
        return Err(ApiError::bad("span_too_long", "A period has at most 93 days."));
    }
    let filter = store::ConversationFilter {
        from: Some(from),
        to: Some(to),
        tenant: text(asked.tenant),
        user: text(asked.user),
        key: text(asked.key),
        decision: text(asked.decision),
        before: asked.before.map(|Cursor(time, session)| (time, session)),
        limit,
    };
    let items = app.database.conversations(&filter).await?.into_iter().map(ConversationView::from).collect();
    Ok(Json(Page::new(items, limit, |one: &ConversationView| format!("{}~{}", one.last, one.session))))
}
