//! Accounts: who may sign in and what they may do.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::App;
use super::change::Change;
use super::error::ApiError;
use super::extract::{Asked, Body, Named};
use super::guard::Principal;
use super::login::role_words;
use super::roles::Roles;
use super::words::{AccountName, Few, FreshPassword, Page, PageQuery, Role, new_id};
use crate::store::StoreError;
use crate::store::accounts::{Account, AccountChange, AccountKind, Changed};
use crate::types::Secret;

/// One account.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AccountView {
    /// Its id.
    pub id: String,
    /// What it signs in with.
    pub name: String,
    /// How it signs in.
    pub kind: AccountKindWord,
    /// Its roles.
    pub roles: Vec<Role>,
    /// Whether it may not do anything.
    pub disabled: bool,
    /// When it was made: Unix time in microseconds.
    pub created: i64,
    /// The account that made it, or `setup`, or `oidc`.
    pub created_by: String,
    /// When it last signed in: Unix time in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_login: Option<i64>,
}

/// How an account signs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AccountKindWord {
    /// With a password.
    Local,
    /// Not at all: it has API tokens.
    Service,
    /// At an identity provider.
    Oidc,
}

/// A new account. One with a password is a person's, one without is a service's.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAccount {
    /// What it signs in with.
    name: AccountName,
    /// Its roles: none that whoever asks has not.
    #[schema(value_type = Vec<Role>, max_items = 5)]
    roles: Few<Role, 5>,
    /// Its first password: 12 to 256 characters. None: a service account.
    #[serde(default)]
    password: Option<FreshPassword>,
}

/// What changes on an account; what is left out stays. Its sessions end.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangedAccount {
    /// Its roles.
    #[serde(default)]
    #[schema(value_type = Option<Vec<Role>>, max_items = 5)]
    roles: Option<Few<Role, 5>>,
    /// Whether it may not do anything.
    #[serde(default)]
    disabled: Option<bool>,
}

/// A password for somebody else.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GivenPassword {
    /// The password from now on: 12 to 256 characters.
    password: FreshPassword,
}

impl From<Account> for AccountView {
    fn from(account: Account) -> Self {
        Self {
            kind: match account.kind {
                AccountKind::Local => AccountKindWord::Local,
                AccountKind::Service => AccountKindWord::Service,
                AccountKind::Oidc => AccountKindWord::Oidc,
            },
            roles: role_words(&account.roles),
            id: account.id,
            name: account.name,
            disabled: account.disabled,
            created: account.created,
            created_by: account.created_by,
            last_login: account.last_login,
        }
    }
}

fn view(account: &Account) -> serde_json::Value {
    json!({ "name": account.name, "kind": account.kind.name(), "roles": account.roles, "disabled": account.disabled })
}

fn done(changed: Changed) -> Result<(), ApiError> {
    match changed {
        Changed::Done => Ok(()),
        Changed::Missing => Err(ApiError::not_found("account")),
        Changed::LastAdmin => Err(ApiError::conflict("last_admin", "Nobody would be left who can manage accounts.")),
        Changed::TooMany => Err(ApiError::conflict("too_many", "There are as many accounts as there may be.")),
    }
}

/// The account, if whoever asks may act on it.
async fn managed(app: &App, who: &Principal, id: &str) -> Result<Account, ApiError> {
    let account = app.accounts.get(id).await?.ok_or_else(|| ApiError::not_found("account"))?;
    who.may_manage(&account)?;
    Ok(account)
}

/// Accounts by id.
#[utoipa::path(get, path = "/api/v1/accounts", tag = "accounts", params(PageQuery),
    responses((status = 200, description = "A page of accounts.", body = Page<AccountView>)))]
pub async fn list(State(app): State<App>, Asked(page): Asked<PageQuery>) -> Result<Json<Page<AccountView>>, ApiError> {
    let (after, limit) = page.bounds(&app);
    let items = app.accounts.list(&after, limit).await?.into_iter().map(AccountView::from).collect();
    Ok(Json(Page::new(items, limit, |account: &AccountView| account.id.clone())))
}

/// Makes an account.
#[utoipa::path(post, path = "/api/v1/accounts", tag = "accounts", request_body = NewAccount,
    responses((status = 201, description = "Made.", body = AccountView)))]
pub async fn create(
    State(app): State<App>,
    who: Principal,
    Body(asked): Body<NewAccount>,
) -> Result<(StatusCode, Json<AccountView>), ApiError> {
    let roles = Roles::new(asked.roles.into_iter().map(Into::into));
    who.may_grant(&roles)?;
    let name = asked.name.text().to_lowercase();
    let kind = if asked.password.is_some() { AccountKind::Local } else { AccountKind::Service };
    let hash = match asked.password.map(Secret::from) {
        None => None,
        Some(password) => {
            app.passwords.accept(&password, &name)?;
            Some(app.passwords.hash(password).await?)
        }
    };
    let account = Account {
        id: new_id("acc"),
        name,
        kind,
        subject: None,
        roles: roles.words(),
        disabled: false,
        created: app.now(),
        created_by: who.name.to_string(),
        last_login: None,
    };
    let object = format!("account/{}", account.id);
    let change = Change::new("account_change", "account.create", who.actor(), object).after(view(&account));
    let work = async {
        match app.accounts.add(&account, hash.as_deref(), app.settings.max_accounts).await {
            Err(StoreError::Conflict(_)) => Err(ApiError::conflict("name_taken", "An account has this name.")),
            Err(problem) => Err(problem.into()),
            Ok(changed) => done(changed),
        }
    };
    change.make(&app, work).await?;
    Ok((StatusCode::CREATED, Json(account.into())))
}

/// One account.
#[utoipa::path(get, path = "/api/v1/accounts/{id}", tag = "accounts", params(("id" = String, Path, max_length = 64)),
    responses((status = 200, description = "The account.", body = AccountView)))]
pub async fn get(State(app): State<App>, Named(id): Named<String>) -> Result<Json<AccountView>, ApiError> {
    let account = app.accounts.get(&id).await?.ok_or_else(|| ApiError::not_found("account"))?;
    Ok(Json(account.into()))
}

/// Changes roles, disables or enables; the account's sessions end.
#[utoipa::path(patch, path = "/api/v1/accounts/{id}", tag = "accounts", request_body = ChangedAccount,
    params(("id" = String, Path, max_length = 64)),
    responses((status = 200, description = "As it is now.", body = AccountView)))]
pub async fn change(
    State(app): State<App>,
    who: Principal,
    Named(id): Named<String>,
    Body(asked): Body<ChangedAccount>,
) -> Result<Json<AccountView>, ApiError> {
    let before = managed(&app, &who, &id).await?;
    let roles = asked.roles.map(|roles| Roles::new(roles.into_iter().map(Into::into)));
    if let Some(roles) = &roles {
        who.may_grant(roles)?;
    }
    let changes = AccountChange { roles: roles.map(|roles| roles.words()), disabled: asked.disabled };
    let mut after = before.clone();
    after.roles = changes.roles.clone().unwrap_or(after.roles);
    after.disabled = changes.disabled.unwrap_or(after.disabled);
    let change = Change::new("account_change", "account.change", who.actor(), format!("account/{id}"));
    let work = async { done(app.accounts.change(&id, &changes).await?) };
    change.before(view(&before)).after(view(&after)).make(&app, work).await?;
    Ok(Json(after.into()))
}

/// Removes an account with its sessions and tokens.
#[utoipa::path(delete, path = "/api/v1/accounts/{id}", tag = "accounts",
    params(("id" = String, Path, max_length = 64)), responses((status = 204, description = "Removed.")))]
pub async fn remove(State(app): State<App>, who: Principal, Named(id): Named<String>) -> Result<StatusCode, ApiError> {
    let before = managed(&app, &who, &id).await?;
    let change = Change::new("account_change", "account.remove", who.actor(), format!("account/{id}"));
    let work = async { done(app.accounts.remove(&id).await?) };
    change.before(view(&before)).make(&app, work).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sets the password of a local account; its sessions end.
#[utoipa::path(post, path = "/api/v1/accounts/{id}/password", tag = "accounts", request_body = GivenPassword,
    params(("id" = String, Path, max_length = 64)), responses((status = 204, description = "Set.")))]
pub async fn password(
    State(app): State<App>,
    who: Principal,
    Named(id): Named<String>,
    Body(asked): Body<GivenPassword>,
) -> Result<StatusCode, ApiError> {
    let account = managed(&app, &who, &id).await?;
    if account.kind != AccountKind::Local {
        return Err(ApiError::conflict("no_password", "Only local accounts have a password."));
    }
    let password = Secret::from(asked.password);
    app.passwords.accept(&password, &account.name)?;
    let hash = app.passwords.hash(password).await?;
    let change = Change::new("account_change", "account.password", who.actor(), format!("account/{id}"));
    change.make(&app, app.accounts.set_password(&id, &hash, None)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends all sessions of an account.
#[utoipa::path(post, path = "/api/v1/accounts/{id}/logout", tag = "accounts",
    params(("id" = String, Path, max_length = 64)), responses((status = 204, description = "Ended.")))]
pub async fn logout(State(app): State<App>, who: Principal, Named(id): Named<String>) -> Result<StatusCode, ApiError> {
    // Ending sessions takes nothing that cannot be had again, so it is no question of roles.
    app.accounts.get(&id).await?.ok_or_else(|| ApiError::not_found("account"))?;
    let change = Change::new("account_change", "account.logout", who.actor(), format!("account/{id}"));
    change.make(&app, app.accounts.end_sessions_of(&id)).await?;
    Ok(StatusCode::NO_CONTENT)
}
