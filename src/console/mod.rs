//! The web console: pages on the ops listener, rendered here, each made of answers of the admin API. It is a client of that
//! API within the process: what a page shows and what a form does passes the same permissions, checks and audit as any
//! other call, and the console can do nothing that the API cannot.

mod api;
mod assets;
mod files;
mod forms;
mod layout;
mod parts;
mod query;
mod sign_in;
mod trouble;
mod views;
mod visit;

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{MethodRouter, get};

use self::api::Api;
use self::files::Files;
use self::layout::Page;
use self::trouble::Trouble;
use self::visit::Visit;

/// Nothing from elsewhere, nothing inline, and no text that becomes markup in the browser.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";
const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");

/// What a view gives: a page, or why there is none.
type Answer = Result<Page, Trouble>;

/// The console of one gateway.
#[derive(Clone)]
pub struct Console(Arc<Parts>);

struct Parts {
    api: Api,
    files: Files,
}

impl Console {
    /// A console whose pages ask `api`, the router of the admin API, and which makes so many lists into files at once.
    pub fn new(api: Router, files_at_once: usize) -> Self {
        Self(Arc::new(Parts { api: Api::new(api), files: Files::new(files_at_once) }))
    }

    /// The pages, under `/` and `/console`. Whoever serves them gives each request `ConnectInfo<SocketAddr>`.
    pub fn router(&self) -> Router {
        let pages = views::all().into_iter().fold(Router::new(), |router, (path, view)| router.route(path, view));
        Router::new()
            .route("/", get(|| async { Redirect::to("/console") }))
            .route("/console/assets/{name}", get(assets::serve))
            .route("/console/login", get(sign_in::page).post(sign_in::submit))
            .route("/console/setup", get(sign_in::setup_page).post(sign_in::setup))
            .route("/console/logout", axum::routing::post(sign_in::leave))
            .route("/console/do", axum::routing::post(forms::submit))
            .merge(pages)
            .fallback(visit::nowhere)
            .layer(from_fn(dress))
            .with_state(self.clone())
    }
}

/// A page that is only looked at.
fn view<F, Fut>(make: F) -> MethodRouter<Console>
where
    F: Fn(Visit) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Answer> + Send,
{
    get(move |State(console): State<Console>, request: Request| async move {
        let visit = match Visit::begin(&console, request).await {
            Ok(visit) => visit,
            Err(answer) => return answer,
        };
        match make(visit.clone()).await {
            Ok(page) => visit.render(page),
            Err(trouble) => visit.tell(&trouble),
        }
    })
}

/// What every answer of the console carries. Files whose names have a hash of their content may be kept for ever.
async fn dress(request: Request, next: Next) -> Response {
    let mut answer = next.run(request).await.into_response();
    let headers = answer.headers_mut();
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (HeaderName::from_static("x-content-type-options"), "nosniff"),
        (HeaderName::from_static("x-frame-options"), "DENY"),
        (HeaderName::from_static("referrer-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (PERMISSIONS_POLICY, "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    answer
}
