//! How the gateway tries itself: requests to its own data listener, each with a key that it lends itself.

mod chat;
mod lab;
mod own;

use std::sync::Arc;

pub(super) use own::{Own, lend};

use crate::config::Handle;
use crate::config::admin_settings::Trying as Settings;
use crate::control::Follower;
use crate::control::api::trying::Trying;
use crate::store::Database;

/// The doors of the admin API; `None` where no listener can be reached from here.
pub(super) fn doors(
    own: &Own,
    config: &Arc<Handle>,
    follower: &Follower,
    database: &Database,
    settings: &Settings,
) -> Option<Trying> {
    if !own.is_reachable() {
        return None;
    }
    let chat = chat::Talk::new(own.clone(), Arc::clone(config), follower.clone(), settings);
    let lab = lab::Range::new(own.clone(), Arc::clone(config), follower.clone(), database.clone(), settings);
    Some(Trying { chat: Arc::new(chat), lab: Arc::new(lab) })
}
