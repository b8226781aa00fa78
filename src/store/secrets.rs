//! Random values that replicas share: made by whoever asks first, the same for everybody ever after.

use super::{Database, StoreError};
use crate::types::{hex, unhex};
use crate::values;

impl Database {
    /// The secret of this name, 32 random bytes.
    ///
    /// # Errors
    /// The store does not answer, or the value in it is none.
    pub async fn secret(&self, name: &str) -> Result<[u8; 32], StoreError> {
        let mut fresh = [0_u8; 32];
        aws_lc_rs::rand::fill(&mut fresh).map_err(|_| StoreError::Setting("there is no randomness".to_owned()))?;
        let mut tx = self.begin().await?;
        let sql = "INSERT INTO secrets (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
        tx.execute(sql, values![name.to_owned(), hex(&fresh)]).await?;
        tx.commit().await?;
        let sql = "SELECT value FROM secrets WHERE name = $1";
        let row = self.read().await?.row(sql, values![name.to_owned()]).await?;
        let text = row.ok_or(StoreError::Missing("secret"))?.text(0)?;
        unhex(&text).ok_or_else(|| StoreError::Value("a secret is no hexadecimal number".to_owned()))
    }
}
