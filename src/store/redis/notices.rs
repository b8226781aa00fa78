//! Notices from one replica to the others.
/// A.
pub struct Notices;
/// B.
pub struct Notice;
