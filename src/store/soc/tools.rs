//! Tool calls that wait for a person, and what people said about them.

use super::feed::FeedTx;
use super::{Fed, MOST_ROWS, conflict, from_json, json, tree};
use crate::store::changes::{Changed, touch};
use crate::store::{Database, Row, StoreError};
use crate::types::soc::{FeedEntry, FeedKind, ToolHold, ToolRuling};
use crate::values;

/// A call with what was said about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldTool {
    /// The call.
    pub hold: ToolHold,
    /// What a person said, if anybody did.
    pub ruling: Option<ToolRuling>,
}

fn held(row: &Row) -> Result<HeldTool, StoreError> {
    let ruling = row.maybe_text(1)?.map(|text| from_json(&text)).transpose()?;
    Ok(HeldTool { hold: from_json(&row.text(0)?)?, ruling })
}

fn tell(tx: &mut FeedTx, tool: &HeldTool) -> Result<(), StoreError> {
    let mut shown = tree(&tool.hold)?;
    if let Some(fields) = shown.as_object_mut() {
        fields.insert("ruling".to_owned(), tree(&tool.ruling)?);
    }
    tx.tell(FeedKind::ToolHold, &tool.hold.id, shown);
    Ok(())
}

async fn hold(tx: &mut FeedTx, call: &ToolHold) -> Result<(), StoreError> {
    let sql = "INSERT INTO tool_holds (id, user_, expires, body) VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO NOTHING";
    let values = values![&call.id, &call.caller.user, call.expires, json(call)?];
    if tx.session().await?.execute(sql, values).await? > 0 {
        tell(tx, &HeldTool { hold: call.clone(), ruling: None })?;
    }
    Ok(())
}

async fn rule(tx: &mut FeedTx, ruling: &ToolRuling, now: i64) -> Result<HeldTool, StoreError> {
    let sql = "SELECT body, ruling FROM tool_holds WHERE id = $1";
    let row = tx.session().await?.row(sql, values![&ruling.id]).await?.ok_or(StoreError::Missing("tool call"))?;
    let mut tool = held(&row)?;
    if tool.ruling.is_some() {
        return Err(conflict("somebody has decided about this call"));
    }
    if tool.hold.expires <= now {
        return Err(conflict("the call waits no more"));
    }
    if tool.hold.tool != ruling.tool || tool.hold.arguments != ruling.arguments {
        return Err(conflict("the call is of another tool, or has other arguments"));
    }
    let sql = "UPDATE tool_holds SET ruling = $2 WHERE id = $1 AND ruling IS NULL";
    tx.put(sql, values![&ruling.id, json(ruling)?]);
    touch(tx.session().await?, Changed::Rulings).await?;
    tool.ruling = Some(ruling.clone());
    tell(tx, &tool)?;
    Ok(tool)
}

/// Tool calls that wait.
impl Database {
    /// Keeps a call that waits. The same id again changes nothing.
    pub async fn hold_tool(&self, call: &ToolHold) -> Result<Vec<FeedEntry>, StoreError> {
        let mut tx = FeedTx::begin(self).await?;
        let done = hold(&mut tx, call).await;
        tx.end(done).await.map(|((), feed)| feed)
    }

    /// The call with this id.
    pub async fn tool_hold(&self, id: &str) -> Result<Option<HeldTool>, StoreError> {
        let sql = "SELECT body, ruling FROM tool_holds WHERE id = $1";
        self.read().await?.row(sql, values![id.to_owned()]).await?.as_ref().map(held).transpose()
    }

    /// At most `limit` (and 1000) calls, newest first by their ids; with `open_at` (Unix time in microseconds) only
    /// those that wait then. `before` is the id the last page ended with.
    pub async fn tool_holds(
        &self,
        open_at: Option<i64>,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Vec<HeldTool>, StoreError> {
        let sql = "SELECT body, ruling FROM tool_holds WHERE ($1 IS NULL OR (ruling IS NULL AND expires > $1)) \
                   AND ($2 IS NULL OR id < $2) ORDER BY id DESC LIMIT $3";
        let values = values![open_at, before.map(str::to_owned), limit.min(MOST_ROWS)];
        self.read().await?.rows(sql, values).await?.iter().map(held).collect()
    }

    /// Keeps what a person said about a call, once; every replica learns of it.
    ///
    /// # Errors
    /// `Missing`; `Conflict` when it was said before, comes too late, or is about another tool or other arguments.
    pub async fn rule_on_tool(&self, ruling: &ToolRuling, now: i64) -> Result<Fed<HeldTool>, StoreError> {
        let mut tx = FeedTx::begin(self).await?;
        let done = rule(&mut tx, ruling, now).await;
        tx.end(done).await
    }

    /// What was said about calls that may still wait at `now`: what a Snapshot holds. At most 10,000, those first that
    /// wait longest from now on.
    pub async fn live_rulings(&self, now: i64) -> Result<Vec<ToolRuling>, StoreError> {
        const MOST: u32 = 10_000;
        let sql =
            "SELECT ruling FROM tool_holds WHERE ruling IS NOT NULL AND expires > $1 ORDER BY expires DESC LIMIT $2";
        let rows = self.read().await?.rows(sql, values![now, MOST]).await?;
        rows.iter().map(|row| from_json(&row.text(0)?)).collect()
    }
}
