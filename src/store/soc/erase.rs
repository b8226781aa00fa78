//! Erasing one person from what the SOC keeps. What still decides about them (plans that are not over, remedies that
//! are in force) stays until it ends, as standing orders do.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use super::feed::FeedTx;
use super::{alerts, bodies, from_json, incidents, json, tree};
use crate::store::{Database, StoreError};
use crate::types::Caller;
use crate::types::soc::{Alert, Analysis, Incident, ToolHold};
use crate::values;

/// Things of one transaction.
const AT_ONCE: u32 = 100;

/// A person, and the name that stands in place of theirs.
#[derive(Clone, Copy)]
struct Person<'a> {
    user: &'a str,
    pseudonym: &'a str,
}

impl Person<'_> {
    /// A text without the name, wherever it stands as a word of its own.
    fn hide(self, text: &str) -> String {
        let mut hidden = String::with_capacity(text.len());
        let mut done = 0_usize;
        let inside = |letter: Option<char>| letter.is_some_and(char::is_alphanumeric);
        for (at, found) in text.match_indices(self.user).filter(|(_, found)| !found.is_empty()) {
            let end = at.saturating_add(found.len());
            let before = text.get(..at).and_then(|text| text.chars().next_back());
            let after = text.get(end..).and_then(|text| text.chars().next());
            if !inside(before) && !inside(after) {
                hidden.push_str(text.get(done..at).unwrap_or_default());
                hidden.push_str(self.pseudonym);
                done = end;
            }
        }
        hidden.push_str(text.get(done..).unwrap_or_default());
        hidden
    }

    /// The same for every text of a tree, and for what tells callers apart in it.
    fn scrub(self, value: &mut Json) {
        match value {
            Json::String(text) => *text = self.hide(text),
            Json::Array(items) => items.iter_mut().for_each(|item| self.scrub(item)),
            Json::Object(fields) => {
                if let Some(Json::Object(caller)) = fields.get_mut("caller") {
                    caller.remove("groups");
                    caller.insert("address".to_owned(), Json::Null);
                    caller.insert("session".to_owned(), Json::Null);
                }
                fields.values_mut().for_each(|field| self.scrub(field));
            }
            Json::Null | Json::Bool(_) | Json::Number(_) => {}
        }
    }

    fn scrubbed<T: Serialize + DeserializeOwned>(self, thing: &T) -> Result<T, StoreError> {
        let mut value = tree(thing)?;
        self.scrub(&mut value);
        from_json(&value.to_string())
    }

    /// Without the person, where the caller is them.
    fn caller(self, caller: &mut Caller) {
        if caller.user.as_deref() == Some(self.user) {
            caller.user = Some(self.pseudonym.into());
            caller.address = None;
            caller.session = None;
            caller.groups = Arc::from([]);
        }
    }
}

/// What the feed said of something before is what it says now.
fn rewrite_feed(tx: &mut FeedTx, id: &Arc<str>, shown: &Json) {
    tx.put("UPDATE feed SET body = $2 WHERE id = $1", values![id, shown.to_string()]);
}

async fn rewrite_log(tx: &mut FeedTx, about: &Arc<str>, person: Person<'_>) -> Result<(), StoreError> {
    let mut after = 0_i64;
    loop {
        let sql = "SELECT seq, body FROM soc_log WHERE about = $1 AND seq > $2 ORDER BY seq LIMIT $3";
        let rows = tx.session().await?.rows(sql, values![about, after, AT_ONCE]).await?;
        for row in &rows {
            after = row.int(0)?;
            let mut line: Json = from_json(&row.text(1)?)?;
            person.scrub(&mut line);
            let sql = "UPDATE soc_log SET body = $3 WHERE about = $1 AND seq = $2";
            tx.put(sql, values![about, after, line.to_string()]);
        }
        if rows.len() < usize::try_from(AT_ONCE).unwrap_or(usize::MAX) {
            return Ok(());
        }
    }
}

async fn some_alerts(tx: &mut FeedTx, person: Person<'_>) -> Result<usize, StoreError> {
    let sql = "SELECT body FROM alerts WHERE user_ = $1 LIMIT $2";
    let rows = tx.session().await?.rows(sql, values![person.user.to_owned(), AT_ONCE]).await?;
    for mut alert in bodies::<Alert>(&rows)? {
        person.caller(&mut alert.caller);
        alert.raw = None;
        // Made of session, address or user.
        person.pseudonym.clone_into(&mut alert.fold);
        let alert = person.scrubbed(&alert)?;
        alerts::store(tx, &alert)?;
        rewrite_feed(tx, &alert.id, &tree(&alert)?);
        rewrite_log(tx, &alert.id, person).await?;
    }
    Ok(rows.len())
}

async fn some_incidents(tx: &mut FeedTx, person: Person<'_>) -> Result<usize, StoreError> {
    let sql = "SELECT body FROM incidents WHERE user_ = $1 OR about = $2 LIMIT $3";
    let about = format!("user:{}", person.user);
    let rows = tx.session().await?.rows(sql, values![person.user.to_owned(), about, AT_ONCE]).await?;
    for mut incident in bodies::<Incident>(&rows)? {
        let theirs = incident.caller.user.as_deref() == Some(person.user);
        person.caller(&mut incident.caller);
        let (kind, of) = incident.about.split_once(':').unwrap_or_default();
        if of == person.user || (theirs && matches!(kind, "session" | "address" | "user")) {
            // With the incident's id: there may be several of one rule, each about something else.
            incident.about = format!("{kind}:{}.{}", person.pseudonym, incident.id);
        }
        let incident = person.scrubbed(&incident)?;
        incidents::store(tx, &incident)?;
        rewrite_feed(tx, &incident.id, &tree(&incident)?);
        rewrite_log(tx, &incident.id, person).await?;
        let sql = "SELECT body FROM analyses WHERE incident = $1";
        for analysis in bodies::<Analysis>(&tx.session().await?.rows(sql, values![&incident.id]).await?)? {
            let analysis = person.scrubbed(&analysis)?;
            let sql = "UPDATE analyses SET body = $2 WHERE id = $1";
            tx.put(sql, values![&analysis.id, json(&analysis)?]);
        }
    }
    Ok(rows.len())
}

async fn some_holds(tx: &mut FeedTx, person: Person<'_>) -> Result<usize, StoreError> {
    let sql = "SELECT body FROM tool_holds WHERE user_ = $1 LIMIT $2";
    let rows = tx.session().await?.rows(sql, values![person.user.to_owned(), AT_ONCE]).await?;
    for mut hold in bodies::<ToolHold>(&rows)? {
        person.caller(&mut hold.caller);
        let sql = "UPDATE tool_holds SET user_ = $2, body = $3 WHERE id = $1";
        tx.put(sql, values![&hold.id, &hold.caller.user, json(&hold)?]);
        rewrite_feed(tx, &hold.id, &tree(&hold)?);
    }
    Ok(rows.len())
}

/// Plans and remedies that are over, which name the person. The hash of a plan stays: it is what was approved.
async fn some_over(
    tx: &mut FeedTx,
    (select, update): (&'static str, &'static str),
    person: Person<'_>,
    after: &mut String,
) -> Result<usize, StoreError> {
    let rows = tx.session().await?.rows(select, values![after.clone(), AT_ONCE]).await?;
    for row in &rows {
        let text = row.text(0)?;
        let mut thing: Json = from_json(&text)?;
        *after = row.text(1)?;
        // The text of a plan is JSON within JSON: a name with quotes in it is written otherwise there.
        if let Some(inner) = thing.get("body").and_then(Json::as_str) {
            let mut body: Json = from_json(inner)?;
            let before = body.clone();
            person.scrub(&mut body);
            if body != before
                && let Some(field) = thing.get_mut("body")
            {
                *field = Json::String(body.to_string());
            }
        }
        if let Some(fields) = thing.as_object_mut() {
            for (_, field) in fields.iter_mut().filter(|(name, _)| *name != "body") {
                person.scrub(field);
            }
        }
        let new = thing.to_string();
        if new != text {
            tx.put(update, values![after.clone(), new]);
            rewrite_feed(tx, &Arc::from(after.as_str()), &thing);
        }
    }
    Ok(rows.len())
}

const PLANS: (&str, &str) = (
    "SELECT body, id FROM plans WHERE state IN ('refused', 'carried', 'expired') AND id > $1 ORDER BY id LIMIT $2",
    "UPDATE plans SET body = $2 WHERE id = $1",
);
const REMEDIES: (&str, &str) = (
    "SELECT body, id FROM remedies WHERE state IN ('done', 'failed', 'undone', 'expired') AND id > $1 ORDER BY id LIMIT $2",
    "UPDATE remedies SET body = $2 WHERE id = $1",
);

impl Database {
    /// Removes a person from alerts, incidents with their timelines and analyses, tool calls that waited, the feed, and
    /// from plans and remedies that are over. Says how many alerts, incidents and calls were theirs.
    pub(in crate::store) async fn erase_soc(&self, user: &str, pseudonym: &str) -> Result<u64, StoreError> {
        let person = Person { user, pseudonym };
        let full = usize::try_from(AT_ONCE).unwrap_or(usize::MAX);
        let mut count = 0_usize;
        loop {
            let mut tx = FeedTx::begin(self).await?;
            let done = some_alerts(&mut tx, person).await;
            let (some, _) = tx.end(done).await?;
            count = count.saturating_add(some);
            if some < full {
                break;
            }
        }
        loop {
            let mut tx = FeedTx::begin(self).await?;
            let done = some_incidents(&mut tx, person).await;
            let (some, _) = tx.end(done).await?;
            count = count.saturating_add(some);
            if some < full {
                break;
            }
        }
        loop {
            let mut tx = FeedTx::begin(self).await?;
            let done = some_holds(&mut tx, person).await;
            let (some, _) = tx.end(done).await?;
            count = count.saturating_add(some);
            if some < full {
                break;
            }
        }
        for table in [PLANS, REMEDIES] {
            let mut after = String::new();
            loop {
                let mut tx = FeedTx::begin(self).await?;
                let done = some_over(&mut tx, table, person, &mut after).await;
                let (some, _) = tx.end(done).await?;
                if some < full {
                    break;
                }
            }
        }
        Ok(u64::try_from(count).unwrap_or(u64::MAX))
    }
}
