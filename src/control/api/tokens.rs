//! API tokens: for programs, with roles of their own.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::change::Change;
use super::error::ApiError;
use super::extract::{Asked, Body, Named};
use super::guard::{Credential, Principal};
use super::login::role_words;
use super::roles::{Permission, Roles};
use super::secrets::{self, TOKEN_PREFIX};
use super::words::{Few, Label, Limit, Page, Role, Seconds, Word, new_id};
use crate::store::accounts::{AccountKind, ApiToken, Changed};

/// One API token, without the token.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct TokenView {
    /// Its id.
    pub id: String,
    /// The id of its account.
    pub account: String,
    /// What people call it.
    pub name: String,
    /// Its first characters.
    pub shown: String,
    /// Its roles; what it may do is bounded by the account's, too.
    pub roles: Vec<Role>,
    /// When it was made: Unix time in microseconds.
    pub created: i64,
    /// Who made it.
    pub created_by: String,
    /// When it ends: Unix time in microseconds.
    pub expires: i64,
    /// When it was revoked: Unix time in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked: Option<i64>,
    /// When it was last used, to the minute: Unix time in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_used: Option<i64>,
}

/// A token just made.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct TokenMade {
    /// The token itself: shown now and never again.
    pub token: String,
    /// What is known of it.
    pub details: TokenView,
}

/// A new API token.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// What people call it.
    name: Label,
    /// Its roles: none that whoever asks has not.
    #[schema(value_type = Vec<Role>, max_items = 5)]
    roles: Few<Role, 5>,
    /// Its life in seconds; the longest allowed unless said otherwise, and no longer than that.
    #[serde(default)]
    expires_in: Option<Seconds>,
    /// The id of a service account that it is for; one's own unless said otherwise.
    #[serde(default)]
    account: Option<Word>,
}

/// Which tokens.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TokenQuery {
    /// Of this account; of one's own unless said otherwise, `*` for everybody's. Those of others need `admin` or
    /// `auditor`.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    account: Option<Word>,
    /// At most so many entries; 50 unless said otherwise.
    #[serde(default)]
    #[param(value_type = u32, minimum = 1, maximum = 500)]
    limit: Limit,
    /// The `next` of the page before.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    after: Option<Word>,
}

impl TokenQuery {
    /// Whose.
    pub fn account(&self) -> Option<&Word> {
        self.account.as_ref()
    }

    /// The id to go on after, and how many.
    pub fn bounds(&self, app: &App) -> (String, u32) {
        (self.after.clone().map(String::from).unwrap_or_default(), self.limit.get(app))
    }
}

impl From<ApiToken> for TokenView {
    fn from(token: ApiToken) -> Self {
        Self {
            roles: role_words(&token.roles),
            id: token.id,
            account: token.account,
            name: token.name,
            shown: token.shown,
            created: token.created,
            created_by: token.created_by,
            expires: token.expires,
            revoked: token.revoked,
            last_used: token.last_used,
        }
    }
}

/// Whose entries are asked for: `None` is everybody's. Others' need the right to read accounts.
pub(super) fn whose(who: &Principal, asked: Option<&Word>) -> Result<Option<String>, ApiError> {
    let own = who.account.to_string();
    let of = match asked.map(Word::text) {
        None => Some(own.clone()),
        Some("*") => None,
        Some(id) => Some(id.to_owned()),
    };
    if of.as_ref() != Some(&own) && !who.roles.any_of(&Permission::ReadAccounts.roles(&[])) {
        return Err(ApiError::forbidden("missing_role", "None of your roles may read what belongs to others."));
    }
    Ok(of)
}

/// API tokens by id.
#[utoipa::path(get, path = "/api/v1/tokens", tag = "tokens", params(TokenQuery),
    responses((status = 200, description = "A page of tokens.", body = Page<TokenView>)))]
pub async fn list(
    State(app): State<App>,
    who: Principal,
    Asked(asked): Asked<TokenQuery>,
) -> Result<Json<Page<TokenView>>, ApiError> {
    let of = whose(&who, asked.account())?;
    let (after, limit) = asked.bounds(&app);
    let items = app.accounts.tokens(of.as_deref(), &after, limit).await?.into_iter().map(TokenView::from).collect();
    Ok(Json(Page::new(items, limit, |token: &TokenView| token.id.clone())))
}

/// Makes an API token, shown once.
#[utoipa::path(post, path = "/api/v1/tokens", tag = "tokens", request_body = NewToken,
    responses((status = 201, description = "Made.", body = TokenMade),
        (status = 404, description = "There is no such account.", body = super::error::ErrorBody)))]
pub async fn create(
    State(app): State<App>,
    who: Principal,
    Body(asked): Body<NewToken>,
) -> Result<(StatusCode, Json<TokenMade>), ApiError> {
    let roles = Roles::new(asked.roles.into_iter().map(Into::into));
    if roles.is_empty() {
        return Err(ApiError::invalid("no_roles", "A token without roles can do nothing."));
    }
    who.may_grant(&roles)?;
    let account = match asked.account.as_ref().map(Word::text) {
        Some(id) if id != &*who.account => service(&app, &who, id, &roles).await?,
        Some(_) | None => who.account.to_string(),
    };
    let now = app.now();
    let longest = i64::try_from(app.settings.token_lifetime.get().as_micros()).unwrap_or(i64::MAX);
    let mut expires = asked.expires_in.map_or(i64::MAX, |life| life.after(now)).min(now.saturating_add(longest));
    if let Credential::Token { expires: own, .. } = who.credential {
        // Or a token that was stolen could keep itself alive for ever.
        expires = expires.min(own);
    }
    let minted = secrets::mint(TOKEN_PREFIX)?;
    let token = ApiToken {
        id: new_id("tok"),
        account,
        name: asked.name.into(),
        shown: minted.shown,
        roles: roles.words(),
        created: now,
        created_by: who.name.to_string(),
        expires,
        revoked: None,
        last_used: None,
    };
    let after = json!({ "name": token.name, "account": token.account, "roles": token.roles, "expires": expires });
    let change = Change::new("account_change", "token.create", who.actor(), format!("token/{}", token.id));
    let work = async {
        match app.accounts.add_token(&token, &minted.hash, app.settings.max_tokens).await? {
            Changed::TooMany => Err(ApiError::conflict("too_many", "The account has as many tokens as it may have.")),
            Changed::Done | Changed::Missing | Changed::LastAdmin => Ok(()),
        }
    };
    change.after(after).make(&app, work).await?;
    let made = TokenMade { token: minted.secret.expose().to_owned(), details: token.into() };
    Ok((StatusCode::CREATED, Json(made)))
}

/// The service account `id`, if whoever asks may make a token with those roles for it.
async fn service(app: &App, who: &Principal, id: &str, roles: &Roles) -> Result<String, ApiError> {
    if !who.roles.any_of(&Permission::ManageAccounts.roles(&[])) {
        return Err(ApiError::forbidden("missing_role", "None of your roles may make tokens for others."));
    }
    let account = app.accounts.get(id).await?.ok_or_else(|| ApiError::not_found("account"))?;
    who.may_manage(&account)?;
    if account.kind != AccountKind::Service {
        return Err(ApiError::conflict("no_service", "Tokens of people are made by themselves."));
    }
    if !Roles::parse(&account.roles).cover(roles) {
        return Err(ApiError::forbidden("more_than_own", "A token may not do more than its account."));
    }
    Ok(account.id)
}

/// Revokes an API token: the next request with it fails.
#[utoipa::path(delete, path = "/api/v1/tokens/{id}", tag = "tokens", params(("id" = String, Path, max_length = 64)),
    responses((status = 204, description = "Revoked.")))]
pub async fn revoke(State(app): State<App>, who: Principal, Named(id): Named<String>) -> Result<StatusCode, ApiError> {
    let token = app.accounts.token(&id).await?.filter(|token| {
        // What one may not see does not exist.
        token.account == *who.account || who.roles.any_of(&Permission::ManageAccounts.roles(&[]))
    });
    let token = token.ok_or_else(|| ApiError::not_found("token"))?;
    let before = json!({ "name": token.name, "account": token.account, "revoked": token.revoked });
    let change = Change::new("account_change", "token.revoke", who.actor(), format!("token/{id}")).before(before);
    change.make(&app, app.accounts.revoke_token(&id, app.now())).await?;
    Ok(StatusCode::NO_CONTENT)
}
