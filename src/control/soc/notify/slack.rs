//! Incoming webhooks of Slack, in Block Kit. Their address is their key.
//!
//! Titles and texts may quote what an attacker chose (the name of a user, say), so they are plain text: Slack reads no mentions
//! (`<!channel>`) and no links in it.

use bytes::Bytes;
use hyper::Uri;
use hyper::header::HeaderMap;
use serde_json::{Value, json};

use super::{Notice, NotifyError, clip, post};
use crate::control::http::Http;
use crate::types::{Secret, Severity};

/// Bytes of a header block (Slack takes 150 characters), of a text block (3,000) and of a button's address (3,000).
const MOST_TITLE: usize = 150;
const MOST_TEXT: usize = 3000;

/// One channel of Slack.
#[derive(Debug)]
pub struct Slack {
    http: Http,
    url: Secret,
}

impl Slack {
    /// The channel that this incoming webhook writes to.
    ///
    /// # Errors
    /// An address that is none. Does not say which.
    pub fn new(http: Http, url: Secret) -> Result<Self, &'static str> {
        url.expose().parse::<Uri>().map_err(|_| "not an address")?;
        Ok(Self { http, url })
    }

    pub(super) async fn send(&self, notice: &Notice) -> Result<(), NotifyError> {
        let url = self.url.expose().parse().map_err(|_| NotifyError::final_("not an address"))?;
        post(&self.http, &url, HeaderMap::new(), Bytes::from(body(notice).to_string())).await
    }
}

/// What is sent.
pub(in crate::control) fn body(notice: &Notice) -> Value {
    let plain = |text: &str, most| json!({ "type": "plain_text", "text": clip(text, most), "emoji": false });
    let sign = match (notice.resolved, notice.severity) {
        (true, _) => "\u{2705}",
        (false, Severity::Critical | Severity::High) => "\u{1f534}",
        (false, Severity::Medium) => "\u{1f7e0}",
        (false, Severity::Low | Severity::Informational) => "\u{1f535}",
    };
    let state = if notice.resolved { "resolved" } else { notice.level() };
    let title = format!("{sign} [{state}] {}", notice.title);
    let mut blocks = vec![json!({ "type": "header", "text": plain(&title, MOST_TITLE) })];
    if !notice.text.trim().is_empty() {
        blocks.push(json!({ "type": "section", "text": plain(&notice.text, MOST_TEXT) }));
    }
    let ids = format!("incident {} \u{b7} notice {}", notice.incident.as_deref().unwrap_or("none"), notice.id);
    blocks.push(json!({ "type": "context", "elements": [plain(&ids, MOST_TITLE)] }));
    if let Some(url) = notice.url.as_deref().filter(|url| url.len() <= MOST_TEXT) {
        blocks.push(json!({
            "type": "actions",
            "elements": [{ "type": "button", "text": plain("Open", MOST_TITLE), "url": url }],
        }));
    }
    // What phones and screen readers show. Here Slack reads its own language, so its three signs are written out.
    let fallback = clip(&title, MOST_TITLE).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    json!({ "text": fallback, "blocks": blocks })
}
