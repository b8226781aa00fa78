//! stub
pub struct Stream; impl Stream { pub fn new(_d: crate::types::Dialect, _l: super::Limits) -> Self { Self } }
