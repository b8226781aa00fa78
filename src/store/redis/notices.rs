//! Notices from one replica to all others, by publish and subscribe: fast, and lost to whoever is not connected.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, Client, FromRedisValue, ProtocolVersion, PushInfo, PushKind};
use tokio::sync::{Mutex, Notify, mpsc};

use super::{CountersError, RedisOptions, client, connect};

/// How often a quiet connection is asked whether it still lives.
const KEEP_ALIVE: Duration = Duration::from_secs(1);

/// The pause between attempts to subscribe, at first and at most. The most is what a notice may be late by.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_millis(800);

/// What a subscriber gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Connected, for the first time or again, or the queue was full: whatever was published before may have been
    /// missed, so read it from the store.
    Gap,
    /// Somebody, perhaps this replica, published.
    Message {
        /// Under which topic.
        topic: String,
        /// What.
        payload: Vec<u8>,
    },
}

/// Publishes and subscribes.
#[derive(Clone)]
pub struct Notices(Arc<Inner>);

struct Inner {
    client: Client,
    options: RedisOptions,
    publisher: Mutex<Option<MultiplexedConnection>>,
}

impl Notices {
    /// Not connected yet.
    ///
    /// # Errors
    /// When the URL is none.
    pub fn new(options: RedisOptions) -> Result<Self, CountersError> {
        // Messages come over the one connection that also answers: protocol version 3.
        let client = client(&options, ProtocolVersion::RESP3)?;
        Ok(Self(Arc::new(Inner { client, options, publisher: Mutex::new(None) })))
    }

    /// Tells everyone who is subscribed at this moment; gives their number. A connection that broke is replaced once.
    ///
    /// # Errors
    /// When Redis cannot be reached or answers with an error.
    pub async fn publish(&self, topic: &str, payload: &[u8]) -> Result<u64, CountersError> {
        let first = self.try_to_publish(topic, payload).await;
        if first.is_ok() { first } else { self.try_to_publish(topic, payload).await }
    }

    async fn try_to_publish(&self, topic: &str, payload: &[u8]) -> Result<u64, CountersError> {
        let mut publisher = self.0.publisher.lock().await;
        let mut connection = match publisher.take() {
            Some(connection) => connection,
            None => connect(&self.0.client, &self.0.options, AsyncConnectionConfig::new()).await?,
        };
        let mut command = ::redis::cmd("PUBLISH");
        command.arg(self.0.channel(topic)).arg(payload);
        let told: u64 = command.query_async(&mut connection).await?;
        // Only a connection that has just answered is kept.
        *publisher = Some(connection);
        Ok(told)
    }

    /// Subscribes, and again whenever the connection breaks. At most `capacity` notices wait; when more come, the
    /// surplus is dropped and a `Gap` says so. Starts a task, which ends when the receiver is dropped.
    pub fn subscribe(&self, topics: &[&str], capacity: usize) -> mpsc::Receiver<Notice> {
        let (sender, receiver) = mpsc::channel(capacity.max(1));
        let topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
        let subscription = Subscription {
            inner: Arc::clone(&self.0),
            topics,
            sender,
            surplus: Arc::new(AtomicBool::new(false)),
            alarm: Arc::new(Notify::new()),
        };
        drop(tokio::spawn(subscription.keep()));
        receiver
    }
}

impl Inner {
    fn channel(&self, topic: &str) -> String {
        format!("{{{}}}:n:{topic}", self.options.prefix)
    }
}

/// One subscriber's task.
struct Subscription {
    inner: Arc<Inner>,
    topics: Vec<String>,
    sender: mpsc::Sender<Notice>,
    /// Something had to be dropped.
    surplus: Arc<AtomicBool>,
    /// The connection ended, or something had to be dropped.
    alarm: Arc<Notify>,
}

impl Subscription {
    async fn keep(self) {
        let mut pause = FIRST_PAUSE;
        while !self.sender.is_closed() {
            match self.connected().await {
                Ok(mut connection) => {
                    pause = FIRST_PAUSE;
                    self.listen(&mut connection).await;
                }
                Err(error) => tracing::debug!(%error, "notices cannot be subscribed to"),
            }
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2).min(LAST_PAUSE);
        }
    }

    async fn connected(&self) -> Result<MultiplexedConnection, CountersError> {
        let (sender, surplus, alarm) = (self.sender.clone(), Arc::clone(&self.surplus), Arc::clone(&self.alarm));
        let prefix = self.inner.channel("");
        let config = AsyncConnectionConfig::new().set_push_sender(move |push: PushInfo| -> Result<(), ()> {
            let fits = match push.kind {
                PushKind::Message => message(&push, &prefix).is_none_or(|notice| sender.try_send(notice).is_ok()),
                PushKind::Disconnection => {
                    alarm.notify_one();
                    true
                }
                _ => true,
            };
            if !fits {
                surplus.store(true, Ordering::Release);
                alarm.notify_one();
            }
            Ok(())
        });
        let mut connection = connect(&self.inner.client, &self.inner.options, config).await?;
        for topic in &self.topics {
            connection.subscribe(self.inner.channel(topic)).await?;
        }
        Ok(connection)
    }

    /// Until the connection ends or nobody listens any more.
    async fn listen(&self, connection: &mut MultiplexedConnection) {
        let mut gap = true;
        loop {
            if (gap || self.surplus.swap(false, Ordering::AcqRel)) && self.sender.send(Notice::Gap).await.is_err() {
                return;
            }
            gap = false;
            tokio::select! {
                () = self.sender.closed() => return,
                () = self.alarm.notified() => {}
                () = tokio::time::sleep(KEEP_ALIVE) => {}
            }
            // The answer has a time limit of its own.
            let pong = ::redis::cmd("PING").query_async::<String>(connection).await;
            if let Err(error) = pong {
                tracing::debug!(%error, "notices were cut off");
                return;
            }
        }
    }
}

/// A message as it is pushed: channel and payload.
fn message(push: &PushInfo, prefix: &str) -> Option<Notice> {
    let [channel, payload] = push.data.as_slice() else { return None };
    let channel = String::from_redis_value_ref(channel).ok()?;
    let payload = Vec::<u8>::from_redis_value_ref(payload).ok()?;
    Some(Notice::Message { topic: channel.strip_prefix(prefix)?.to_owned(), payload })
}
