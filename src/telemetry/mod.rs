//! Logs, traces and metrics: every metric name, and what may never be logged.
