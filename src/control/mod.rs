//! The control side: reads Events, publishes Snapshots.

pub mod api;
pub mod audit;
pub mod events;
pub mod export;
pub mod http;
pub mod jwks;
pub mod keep;
pub mod learn;
pub mod observe;
pub mod ops;
pub mod record;
pub mod report;
mod rotate;
pub mod soc;
pub mod surge;
pub mod sync;

pub use events::{EventLoop, Reader, Told, run};
pub use keep::Keeper;
pub use observe::Observer;
pub use ops::{Health, Ops, ReloadAction};
pub use record::RecordWriter;
pub use sync::Follower;
