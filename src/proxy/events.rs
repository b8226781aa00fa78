//! stub
use std::time::{Duration, Instant};
use bytes::{Bytes, BytesMut};
use crate::config::settings::Body; use super::inspector::Inspector; use super::record::Flight; use crate::types::{Verdict,Decision};
pub(super) enum Fault { Blocked, Invalid, Incomplete }
pub(super) struct Events;
impl Events {
    pub(super) fn new(_s: crate::wire::Stream, _i: Inspector, _b: &Body) -> Self { Self }
    pub(super) fn take(&mut self, _p: &Bytes, _o: &mut BytesMut) -> Result<(), Fault> { Ok(()) }
    pub(super) fn end(&mut self, _o: &mut BytesMut) -> Result<(), Fault> { Ok(()) }
    pub(super) fn end_error(&mut self, _c: &str, _m: &str, _o: &mut BytesMut) {}
    pub(super) fn scanned(&mut self, _d: Duration, _n: Instant) {}
    pub(super) fn blocked(&self) -> bool { false }
    pub(super) fn verdict(&mut self) -> Option<(Verdict, Decision)> { None }
    pub(super) fn describe(&mut self, _f: &mut Flight, _s: u64) {}
}
