//! Random values that replicas share: made by whoever asks first, the same for everybody ever after.

use super::{Database, StoreError};
use crate::values;

impl Database {
    /// The secret of this name, 32 random bytes.
    ///
    /// # Errors
    /// The store does not answer, or the value in it is none.
    pub async fn secret(&self, name: &str) -> Result<[u8; 32], StoreError> {
        let mut fresh = [0_u8; 32];
        aws_lc_rs::rand::fill(&mut fresh).map_err(|_| StoreError::Setting("there is no randomness".to_owned()))?;
        let text: String = fresh.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut tx = self.begin().await?;
        let sql = "INSERT INTO secrets (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
        tx.execute(sql, values![name.to_owned(), text]).await?;
        tx.commit().await?;
        let sql = "SELECT value FROM secrets WHERE name = $1";
        let row = self.read().await?.row(sql, values![name.to_owned()]).await?;
        let text = row.ok_or(StoreError::Missing("secret"))?.text(0)?;
        let mut secret = [0_u8; 32];
        for (byte, pair) in secret.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
            *byte = digits.ok_or_else(|| StoreError::Value("a secret is no hexadecimal number".to_owned()))?;
        }
        Ok(secret)
    }
}
