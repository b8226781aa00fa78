//! Files -> raw -> checked -> Snapshot; a reload prepares (may fail), then publishes (cannot).

mod defaults;
pub mod settings;
pub mod units;
