//! Somebody who lives in the gateway's process for a while: the demo, which makes up traffic.

use std::future::{Future, pending};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::header::{CONTENT_TYPE, HeaderValue};

use super::Gateway;
use super::trying::{Own, lend};
use crate::config::issued::{IssuedKey, Lent};
use crate::config::{Handle, Snapshot};
use crate::control::Follower;
use crate::store::{Database, Writer};
use crate::telemetry::WeakEvents;

/// What a guest does once the gateway is ready. When it is over the gateway ends.
pub type Guest = Box<dyn FnOnce(Insides) -> Stay + Send>;

/// A guest's stay; what went wrong is in words.
pub type Stay = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// What a guest may use.
#[derive(Clone)]
pub struct Insides {
    pub(super) config: Arc<Handle>,
    pub(super) own: Own,
    pub(super) follower: Follower,
    /// Where events go, as the data path sends them.
    pub events: WeakEvents,
    /// The store.
    pub database: Database,
    /// Writes what events tell.
    pub writer: Writer,
    /// Where the console is.
    pub console: Option<SocketAddr>,
}

/// Somebody whose requests go to the data listener.
#[derive(Clone)]
pub struct Client(HeaderValue);

impl Insides {
    /// What decides requests now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.config.load_full()
    }

    /// Where clients ask.
    pub fn address(&self) -> Option<String> {
        self.own.address()
    }

    /// Lends a key for as long as keys are lent.
    ///
    /// # Errors
    /// There are no random bytes.
    pub fn client(&self, key: IssuedKey) -> Result<Client, String> {
        Ok(Client(lend(&self.follower, key, Lent::default())?.bearer))
    }

    /// Sends a question, and takes the answer to its end.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn ask(&self, client: &Client, path: &str, body: String) -> Result<(), String> {
        let request = Request::post(path).header(CONTENT_TYPE, "application/json").body(Full::from(Bytes::from(body)));
        let answer = self.own.send(request.map_err(|error| error.to_string())?, client.0.clone()).await?;
        let mut body = answer.into_body();
        while let Some(frame) = body.frame().await {
            frame.map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

impl Gateway {
    /// What a guest may use; nothing where there is no store.
    pub(super) fn insides(&self) -> Option<Insides> {
        let (backing, follower) = self.backing.clone().zip(self.follower.clone())?;
        Some(Insides {
            config: Arc::clone(&self.handle),
            own: self.own.clone(),
            follower,
            events: self.raised.clone(),
            database: backing.database,
            writer: backing.writer,
            console: self.ops.as_ref().and_then(|ops| ops.local_addr().ok()),
        })
    }
}

/// A guest's stay; without one it never ends.
pub(super) async fn stay(guest: Option<Guest>, insides: Option<Insides>) -> Result<(), String> {
    let Some(guest) = guest else { return pending().await };
    let insides = insides.ok_or_else(|| "there is no store".to_owned())?;
    guest(insides).await
}
