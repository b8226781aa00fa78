//! Styles and modules of our own, embedded; their addresses carry a hash of their content.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use async_compression::Level;
use async_compression::tokio::write::GzipEncoder;
use axum::extract::Path;
use axum::http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use rust_embed::RustEmbed;
use tokio::io::AsyncWriteExt as _;

use crate::types::hex;

/// The files.
#[derive(RustEmbed)]
#[folder = "src/console/assets/"]
#[include = "*.css"]
#[include = "*.js"]
#[include = "*.svg"]
struct Files;

/// Hashes by name of file. A module imports others by their plain names: these are looked up again and may not be kept.
static HASHES: LazyLock<BTreeMap<String, String>> = LazyLock::new(|| {
    let hash = |name: &str| Files::get(name).map(|file| hex(file.metadata.sha256_hash().get(..8).unwrap_or_default()));
    Files::iter().filter_map(|name| hash(&name).map(|hash| (name.into_owned(), hash))).collect()
});

/// The address of a file.
pub(super) fn url(name: &str) -> String {
    let hash = HASHES.get(name).map(String::as_str).unwrap_or_default();
    format!("/console/assets/{name}?{hash}")
}

/// Serves a file.
pub(super) async fn serve(Path(name): Path<String>, uri: axum::http::Uri, headers: HeaderMap) -> Response {
    let Some((file, hash)) = Files::get(&name).zip(HASHES.get(&name)) else {
        return (StatusCode::NOT_FOUND, "There is nothing under this address.\n").into_response();
    };
    let etag = format!("\"{hash}\"");
    let is_named = uri.query() == Some(hash.as_str());
    let keep = if is_named { "public, max-age=31536000, immutable" } else { "no-cache" };
    let kind = match name.rsplit('.').next() {
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "text/javascript; charset=utf-8",
    };
    let accepts = headers.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let packed = match accepts.split(',').any(|one| one.trim().starts_with("gzip")) {
        true => packed(&file.data).await.ok(),
        false => None,
    };
    let is_packed = packed.is_some();
    let mut answer = if headers.get(IF_NONE_MATCH).is_some_and(|known| known == etag.as_str()) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        packed.unwrap_or_else(|| file.data.into_owned()).into_response()
    };
    let out = answer.headers_mut();
    out.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    out.insert(CACHE_CONTROL, HeaderValue::from_static(keep));
    out.insert(VARY, HeaderValue::from_static("accept-encoding"));
    if is_packed {
        out.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        out.insert(ETAG, etag);
    }
    answer
}

/// A file in gzip. Pages are not packed: they hold the session's token beside words of others, whose length would tell of it.
async fn packed(data: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzipEncoder::with_quality(Vec::new(), Level::Best);
    encoder.write_all(data).await?;
    encoder.shutdown().await?;
    Ok(encoder.into_inner())
}
