//! The views: one file for each noun.

mod detection;
mod govern;
mod open;
mod overview;
mod soc;
mod trying;

use axum::routing::MethodRouter;

use super::{Console, view};

/// Every page: its path and what makes it.
pub(super) fn all() -> Vec<(&'static str, MethodRouter<Console>)> {
    let mut all = vec![("/console", view(overview::page))];
    all.extend(soc::pages());
    all.extend(detection::pages());
    all.extend(trying::pages());
    all.extend(govern::pages());
    all
}
