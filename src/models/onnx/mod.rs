//! A text classifier in an ONNX file (a directory with `model.onnx` and `tokenizer.json`), in builds with the feature
//! `onnx`: threads of its own, windows over long texts, several windows at once.

mod cross;
#[cfg(any(feature = "onnx", test))]
mod labels;
#[cfg(feature = "onnx")]
mod network;
#[cfg(feature = "onnx")]
mod pairs;
#[cfg(feature = "onnx")]
mod windows;
#[cfg(feature = "onnx")]
mod work;

pub use self::cross::{CrossEncoder, CrossSpec};
#[cfg(feature = "onnx")]
use self::pairs::start_pairs;
#[cfg(feature = "onnx")]
pub(super) use self::work::start;

/// Whether this build can run ONNX models.
pub const BUILT_IN: bool = cfg!(feature = "onnx");

/// Refuses: this build has nothing to run a model with.
///
/// # Errors
/// Always.
#[cfg(not(feature = "onnx"))]
pub(super) fn start(
    spec: &super::OnnxSpec,
    _name: &str,
    _jobs: tokio::sync::mpsc::Receiver<super::Job>,
) -> Result<String, String> {
    Err(format!("{}: this build has no feature `onnx`", spec.directory.display()))
}

/// Refuses, as above.
///
/// # Errors
/// Always.
#[cfg(not(feature = "onnx"))]
fn start_pairs(spec: &CrossSpec, _jobs: tokio::sync::mpsc::Receiver<cross::Pairs>) -> Result<(), String> {
    Err(format!("{}: this build has no feature `onnx`", spec.directory.display()))
}
