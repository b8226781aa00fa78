//! Pages that may answer with a file or lead elsewhere, and pages that show what came of their own form.

use std::future::Future;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};
use subtle::ConstantTimeEq as _;

use crate::console::forms::Form;
use crate::console::layout::Page;
use crate::console::trouble::Trouble;
use crate::console::visit::Visit;
use crate::console::{Answer, Console};

/// What a page may be.
pub(in crate::console::views) enum Shown {
    /// A page.
    Page(Page),
    /// A file, or the way elsewhere.
    Other(Response),
}

/// A page that may answer with a file or lead elsewhere.
pub(in crate::console::views) fn open<F, Fut>(make: F) -> MethodRouter<Console>
where
    F: Fn(Visit) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Shown, Trouble>> + Send,
{
    get(move |State(console): State<Console>, request: Request| async move {
        let visit = match Visit::begin(&console, request).await {
            Ok(visit) => visit,
            Err(answer) => return answer,
        };
        match make(visit.clone()).await {
            Ok(Shown::Page(page)) => visit.render(page),
            Ok(Shown::Other(answer)) => answer,
            Err(trouble) => visit.tell(&trouble),
        }
    })
}

/// A page whose form is sent to itself, because what comes of it is shown there.
pub(in crate::console::views) fn acting<F, Fut>(make: F) -> MethodRouter<Console>
where
    F: Fn(Visit, Option<Form>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Answer> + Send,
{
    let looked = make.clone();
    get(move |State(console): State<Console>, request: Request| async move {
        match Visit::begin(&console, request).await {
            Ok(visit) => shown(&visit, looked(visit.clone(), None).await),
            Err(answer) => answer,
        }
    })
    .post(move |State(console): State<Console>, request: Request| async move {
        match sent(&console, request).await {
            Ok((visit, form)) => shown(&visit, make(visit.clone(), Some(form)).await),
            Err(answer) => answer,
        }
    })
}

/// A file that is handed out to a form of this session, and not to an address alone: the trail tells of it.
pub(in crate::console::views) fn handed<F, Fut>(make: F) -> MethodRouter<Console>
where
    F: Fn(Visit, Form) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Response, Trouble>> + Send,
{
    post(move |State(console): State<Console>, request: Request| async move {
        match sent(&console, request).await {
            Ok((visit, form)) => make(visit.clone(), form).await.unwrap_or_else(|trouble| visit.tell(&trouble)),
            Err(answer) => answer,
        }
    })
}

/// Who sends a form, and the form, if a page of this session made it.
async fn sent(console: &Console, request: Request) -> Result<(Visit, Form), Response> {
    let (head, body) = request.into_parts();
    let visit = Visit::begin(console, Request::from_parts(head.clone(), Body::empty())).await?;
    let form = proven(&visit, Request::from_parts(head, body)).await.map_err(|trouble| visit.tell(&trouble))?;
    Ok((visit, form))
}

fn shown(visit: &Visit, answer: Answer) -> Response {
    match answer {
        Ok(page) => visit.render(page),
        Err(trouble) => visit.tell(&trouble),
    }
}

/// The form, if a page of this session made it.
async fn proven(visit: &Visit, request: Request) -> Result<Form, Trouble> {
    let form = Form::read(request).await?;
    if visit.csrf().is_empty() || !bool::from(form.get("_csrf").as_bytes().ct_eq(visit.csrf().as_bytes())) {
        return Err(Trouble::forbidden(
            "This form is not from a page of your session: load the page again, and try again.",
        ));
    }
    Ok(form)
}
