//! Telling somebody: webhooks, Slack, PagerDuty and mail, each behind a breaker of its own.
//!
//! Whoever sends decides about trying again; a notice that is sent twice carries the same id, by which its receiver can tell.

pub mod mail;
pub mod pagerduty;
pub mod slack;
pub mod webhook;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::header::{HeaderMap, RETRY_AFTER};
use hyper::{Response, Uri};

pub use self::mail::{Mail, MailOptions, MailSecurity};
pub use self::pagerduty::PagerDuty;
pub use self::slack::Slack;
pub use self::webhook::Webhook;
use super::breaker::{Breaker, Limits};
use crate::control::http::{Http, HttpError};
use crate::telemetry::{Metrics, NoticeResult};
use crate::types::Severity;

/// The longest time a target may ask to be left alone for (`Retry-After`).
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// What somebody is told. Carries no content of prompts and answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Its id: the same for every try, and through every channel.
    pub id: Arc<str>,
    /// In a few words.
    pub title: String,
    /// How bad it is.
    pub severity: Severity,
    /// In sentences.
    pub text: String,
    /// The incident it is about.
    pub incident: Option<Arc<str>>,
    /// Where to look.
    pub url: Option<String>,
    /// Whether it says that it is over.
    pub resolved: bool,
    /// When it was made: Unix time in microseconds.
    pub time: i64,
}

impl Notice {
    /// What it is about: notices about the same thing belong together.
    fn about(&self) -> &Arc<str> {
        self.incident.as_ref().unwrap_or(&self.id)
    }

    /// When it was made, as RFC 3339 has it.
    fn written_time(&self) -> String {
        jiff::Timestamp::from_microsecond(self.time).unwrap_or_default().to_string()
    }

    /// The word for its severity.
    const fn level(&self) -> &'static str {
        match self.severity {
            Severity::Informational => "informational",
            Severity::Low => "low",
            Severity::Medium => "medium",
            Severity::High => "high",
            Severity::Critical => "critical",
        }
    }
}

/// Why somebody was not told. Says nothing of addresses and keys: the address of some channels is their key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct NotifyError {
    /// Whether trying again may help.
    pub retryable: bool,
    /// Not before this long, as the target or the breaker wishes.
    pub after: Option<Duration>,
    /// For the log.
    pub what: String,
    /// For the metrics.
    pub result: NoticeResult,
}

impl NotifyError {
    /// Trying again may help.
    fn passing(what: impl Into<String>) -> Self {
        Self { retryable: true, after: None, what: what.into(), result: NoticeResult::Failed }
    }

    /// Trying again is of no use.
    fn final_(what: impl Into<String>) -> Self {
        Self { retryable: false, after: None, what: what.into(), result: NoticeResult::Refused }
    }
}

/// A way to tell somebody.
#[derive(Debug)]
pub enum Channel {
    /// A signed webhook (Standard Webhooks).
    Webhook(Webhook),
    /// An incoming webhook of Slack.
    Slack(Slack),
    /// PagerDuty's Events API, version 2.
    PagerDuty(PagerDuty),
    /// Mail.
    Mail(Mail),
}

impl Channel {
    /// Tells, once.
    ///
    /// # Errors
    /// The target did not take it.
    pub async fn send(&self, notice: &Notice) -> Result<(), NotifyError> {
        match self {
            Self::Webhook(webhook) => webhook.send(notice).await,
            Self::Slack(slack) => slack.send(notice).await,
            Self::PagerDuty(pagerduty) => pagerduty.send(notice).await,
            Self::Mail(mail) => mail.send(notice).await,
        }
    }
}

/// Every channel, by its name in the configuration.
pub struct Channels {
    lines: BTreeMap<Arc<str>, Guarded>,
    metrics: Metrics,
}

struct Guarded {
    channel: Channel,
    breaker: Mutex<Breaker>,
}

impl Channels {
    /// All of them, with breakers that are closed.
    pub fn new(channels: impl IntoIterator<Item = (Arc<str>, Channel)>, limits: Limits, metrics: Metrics) -> Self {
        let guarded = |channel| Guarded { channel, breaker: Mutex::new(Breaker::new(limits)) };
        let lines: BTreeMap<_, _> = channels.into_iter().map(|(name, channel)| (name, guarded(channel))).collect();
        for (name, guarded) in &lines {
            let state = guarded.breaker.lock().unwrap_or_else(PoisonError::into_inner).state();
            metrics.soc().breaker(name, state);
        }
        Self { lines, metrics }
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.lines.keys()
    }

    /// Tells through one channel, once, if its breaker lets it.
    ///
    /// # Errors
    /// There is no such channel, its breaker is open, or the target did not take it.
    pub async fn send(&self, name: &str, notice: &Notice) -> Result<(), NotifyError> {
        let (name, guarded) =
            self.lines.get_key_value(name).ok_or_else(|| NotifyError::final_("there is no channel of this name"))?;
        let outcome = match self.admit(name, guarded) {
            Ok(()) => {
                let outcome = guarded.channel.send(notice).await;
                self.learn(name, guarded, &outcome);
                outcome
            }
            Err(error) => Err(error),
        };
        let result = outcome.as_ref().err().map_or(NoticeResult::Sent, |error| error.result);
        self.metrics.soc().notice(name, result);
        outcome
    }

    fn admit(&self, name: &Arc<str>, guarded: &Guarded) -> Result<(), NotifyError> {
        let now = Instant::now();
        let mut breaker = guarded.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        let admitted = breaker.lets_through(now);
        self.metrics.soc().breaker(name, breaker.state());
        if admitted {
            return Ok(());
        }
        Err(NotifyError {
            retryable: true,
            after: Some(breaker.closed_for(now)),
            what: "the channel is left alone after several failures".to_owned(),
            result: NoticeResult::BreakerOpen,
        })
    }

    /// A target that refuses one notice lives; one that cannot be reached may not.
    fn learn(&self, name: &Arc<str>, guarded: &Guarded, outcome: &Result<(), NotifyError>) {
        let mut breaker = guarded.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Err(error) if error.retryable => {
                if breaker.failed(Instant::now()) {
                    tracing::warn!(channel = %name, %error, "a notify channel is left alone for a while");
                }
            }
            Ok(()) | Err(_) => breaker.succeeded(),
        }
        self.metrics.soc().breaker(name, breaker.state());
    }
}

/// Posts one notice. What comes back beside the status is not looked at.
async fn post(http: &Http, url: &Uri, headers: HeaderMap, json: Bytes) -> Result<(), NotifyError> {
    match http.post(url, headers, json).await {
        Ok(answer) => judge(answer.status().as_u16(), after(&answer)),
        // It was taken or not, whatever was said besides.
        Err(HttpError::Body(status)) => judge(status, None),
        Err(error) if error.is_passing() => Err(NotifyError::passing(told(&error))),
        Err(error) => Err(NotifyError::final_(error.to_string())),
    }
}

/// Without what lies below, which may name the address.
fn told(error: &HttpError) -> String {
    match error {
        HttpError::Connection(_) => "no connection, or it broke".to_owned(),
        HttpError::Trust(_)
        | HttpError::Address
        | HttpError::Forbidden
        | HttpError::Timeout(_)
        | HttpError::Body(_) => error.to_string(),
    }
}

fn judge(status: u16, after: Option<Duration>) -> Result<(), NotifyError> {
    match status {
        200..=299 => Ok(()),
        // Not in time, too early, too often; the rest is the target's trouble.
        408 | 425 | 429 | 500..=599 => Err(NotifyError { after, ..NotifyError::passing(format!("status {status}")) }),
        _ => Err(NotifyError::final_(format!("status {status}"))),
    }
}

/// How long the target wishes to be left alone, if it says so in seconds.
pub(in crate::control) fn after<B>(answer: &Response<B>) -> Option<Duration> {
    let seconds = answer.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_WAIT))
}

/// At most `most` bytes of a text, whole characters, and a mark where something is missing.
fn clip(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let kept = text.get(..text.floor_char_boundary(most.saturating_sub("…".len()))).unwrap_or_default();
    [kept, "…"].concat()
}

#[cfg(test)]
pub(crate) mod tests;
