//! Trying things: a chat through the data path, attacks on purpose.

mod lab;
mod playground;
mod run;

use axum::routing::MethodRouter;

use crate::console::{Console, view};

/// The pages.
pub(super) fn pages() -> Vec<(&'static str, MethodRouter<Console>)> {
    vec![
        ("/console/playground", view(playground::page).post(playground::submit)),
        ("/console/lab", view(lab::page)),
        ("/console/lab/{id}", view(run::page)),
    ]
}
