//! Portcullis: a reverse-proxy security gateway for LLM APIs. The rooms, in reading order.

pub mod app;
pub mod backtest;
pub mod cli;
pub mod config;
pub mod console;
pub mod control;
pub mod detect;
pub mod learn;
pub mod models;
pub mod proxy;
pub mod quota;
pub mod redteam;
pub mod report;
pub mod soc;
pub mod store;
pub mod telemetry;
pub mod train;
pub mod types;
pub mod wire;
