//! One visit to a page: who looks, at which address, and what they may ask the API for.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::RequestPartsExt as _;
use axum::extract::{Path, Request, State};
use axum::http::header::SET_COOKIE;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::api::{Sender, Told};
use super::files::Place;
use super::layout::{self, Page};
use super::query::{Query, part};
use super::sign_in;
use super::trouble::Trouble;
use super::{Answer, Console};
use crate::control::api::login::Me;
use crate::control::api::soc::monitoring::MonitoringView;
use crate::types::AccessRole;

/// One visit.
#[derive(Clone)]
pub(super) struct Visit(Arc<Inner>);

struct Inner {
    console: Console,
    sender: Sender,
    me: Me,
    path: String,
    query: Query,
    names: BTreeMap<String, String>,
    monitoring: Option<MonitoringView>,
}

impl Visit {
    /// Finds out who looks; whoever is not signed in is led to where they can.
    pub(super) async fn begin(console: &Console, request: Request) -> Result<Self, Response> {
        let (mut head, _) = request.into_parts();
        let names = head.extract::<Path<BTreeMap<String, String>>>().await.map(|Path(names)| names).unwrap_or_default();
        let sender = Sender::of(&head);
        let is_elsewhere = head.headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site");
        match me(console, &sender).await {
            Ok(me) => {
                let query = Query::parse(head.uri.query().unwrap_or_default());
                let path = head.uri.path().to_owned();
                let monitoring = monitoring(console, &sender).await;
                Ok(Self(Arc::new(Inner { console: console.clone(), sender, me, path, query, names, monitoring })))
            }
            // The cookie does not come along a link on another site; from here it does.
            Err(trouble) if trouble.is_nobody() && is_elsewhere => Err(sign_in::again(&head.uri)),
            Err(trouble) if trouble.is_nobody() => Err(sign_in::first(&head.uri)),
            Err(trouble) => Err(layout::outside(trouble.status, "Portcullis", &layout::told(&trouble))),
        }
    }

    /// Who looks.
    pub(super) fn me(&self) -> &Me {
        &self.0.me
    }

    /// The token without which nothing is changed.
    pub(super) fn csrf(&self) -> &str {
        self.0.me.csrf.as_deref().unwrap_or_default()
    }

    /// Whether whoever looks has one of these roles: what they may not do is not offered. The API decides.
    pub(super) fn has(&self, roles: &[AccessRole]) -> bool {
        self.0.me.roles.iter().any(|role| roles.contains(&AccessRole::from(*role)))
    }

    /// Whether they may work on alerts, incidents and reports.
    pub(super) fn may_work(&self) -> bool {
        self.has(&[AccessRole::Analyst, AccessRole::Responder, AccessRole::Admin])
    }

    /// Whether they may approve, undo, give orders.
    pub(super) fn may_decide(&self) -> bool {
        self.has(&[AccessRole::Responder, AccessRole::Admin])
    }

    /// Whether they may change accounts, keys, configuration.
    pub(super) fn may_manage(&self) -> bool {
        self.has(&[AccessRole::Admin])
    }

    /// Whether they may read the ledger, keys, accounts and the audit trail.
    pub(super) fn may_audit(&self) -> bool {
        self.has(&[AccessRole::Admin, AccessRole::Auditor])
    }

    /// Whether requests are inspected; `None` where that could not be told.
    pub(super) fn monitoring(&self) -> Option<&MonitoringView> {
        self.0.monitoring.as_ref()
    }

    /// The path of this page.
    pub(super) fn path(&self) -> &str {
        &self.0.path
    }

    /// The filters of this page.
    pub(super) fn query(&self) -> &Query {
        &self.0.query
    }

    /// This page's address, filters included.
    pub(super) fn here(&self) -> String {
        self.0.query.on(&self.0.path)
    }

    /// A name in the path, escaped for a path of the API.
    pub(super) fn name(&self, of: &str) -> String {
        part(self.raw(of))
    }

    /// A name in the path, as it is.
    pub(super) fn raw(&self, of: &str) -> &str {
        self.0.names.get(of).map(String::as_str).unwrap_or_default()
    }

    /// What the API has at that path, which starts with `/api/v1/`.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Trouble> {
        let told = self.ask(Method::GET, path, None).await?;
        serde_json::from_value(told.json()?).map_err(|error| Trouble::unreadable(&error))
    }

    /// The same where a part of a page does without: switched off, not for this role, or not there.
    pub(super) async fn maybe<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Trouble> {
        match self.get(path).await {
            Ok(found) => Ok(Some(found)),
            Err(trouble) if trouble.is_absence() => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }

    /// Asks the API with a body, where asking changes nothing that has to be protected from other pages.
    pub(super) async fn post<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T, Trouble> {
        let told = self.ask(Method::POST, path, Some(body)).await?;
        serde_json::from_value(told.json()?).map_err(|error| Trouble::unreadable(&error))
    }

    /// What the API answers, whatever that is.
    pub(super) async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Told, Trouble> {
        self.0.console.0.api.send(&self.0.sender, method, path, body, self.0.me.csrf.as_deref()).await
    }

    /// The right to make a list into a file, as long as it is held.
    pub(super) fn file_place(&self) -> Result<Place, Trouble> {
        self.0.console.0.files.place(&self.0.me.account).ok_or_else(Trouble::busy)
    }

    /// A page in its frame.
    pub(super) fn render(&self, page: Page) -> Response {
        layout::framed(self, StatusCode::OK, page)
    }

    /// What went wrong, in the frame; whoever is not signed in any more is led to where they can.
    pub(super) fn tell(&self, trouble: &Trouble) -> Response {
        if trouble.is_nobody() {
            return self
                .here()
                .parse::<Uri>()
                .map_or_else(|_| Redirect::to("/console/login").into_response(), |uri| sign_in::first(&uri));
        }
        let page = Page::new("", "Not available", layout::told(trouble));
        layout::framed(self, trouble.status, page)
    }
}

/// Whether monitoring is off: every page says so. A page is shown where that cannot be told, too.
async fn monitoring(console: &Console, sender: &Sender) -> Option<MonitoringView> {
    let told = console.0.api.send(sender, Method::GET, "/api/v1/monitoring", None, None).await.ok()?;
    serde_json::from_value(told.json().ok()?).ok()
}

/// Who sent something, by their session.
pub(super) async fn me(console: &Console, sender: &Sender) -> Result<Me, Trouble> {
    let told = console.0.api.send(sender, Method::GET, "/api/v1/me", None, None).await?;
    let me: Me = serde_json::from_value(told.json()?).map_err(|error| Trouble::unreadable(&error))?;
    if me.csrf.is_none() {
        return Err(Trouble::forbidden("The console is for people who sign in, not for tokens."));
    }
    Ok(me)
}

/// Carries the cookies that the API set to the browser.
pub(super) fn with_cookies(mut answer: Response, told: &Told) -> Response {
    for cookie in told.headers.get_all(SET_COOKIE) {
        answer.headers_mut().append(SET_COOKIE, cookie.clone());
    }
    answer
}

/// An address under which there is nothing.
pub(super) async fn nowhere(State(console): State<Console>, request: Request) -> Response {
    let visit = match Visit::begin(&console, request).await {
        Ok(visit) => visit,
        Err(answer) => return answer,
    };
    let none: Answer = Err(Trouble::nowhere());
    none.map_or_else(|trouble| visit.tell(&trouble), |page| visit.render(page))
}
