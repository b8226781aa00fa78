//! Files -> raw -> checked -> Snapshot; a reload prepares (may fail), then publishes (cannot).

pub mod settings;
pub mod units;
