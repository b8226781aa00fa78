//! Everything that reads foreign bytes, fed with inputs nobody would write, on stable Rust.
//!
//! Each target is a plain function of bytes that checks what must hold for any input. The driver changes committed
//! inputs (`tests/fuzz/corpus/`) at random: a second each as part of the test suite, or as long as
//! `PORTCULLIS_FUZZ_SECONDS` says:
//!
//! ```text
//! PORTCULLIS_FUZZ_SECONDS=600 cargo test --release --test fuzz -- --nocapture --test-threads 1
//! ```
//!
//! A new seed is drawn each time when that is set; `PORTCULLIS_FUZZ_SEED` repeats a run. An input that makes a target
//! fail is kept in `target/fuzz/`; put it into the corpus once it is mended.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test that meets what it does not expect has failed; a long run says how it went"
)]

mod mutate;
#[path = "../support/shipped.rs"]
mod shipped;
mod targets;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use crate::mutate::Random;

/// The longest input made.
const LONGEST: usize = 16 << 10;
/// Time one input may take, in an unoptimised build on a busy machine: anything slower than linear takes longer.
const TOO_LONG: Duration = Duration::from_secs(20);

fn folder(corpus: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(corpus)
}

/// The committed inputs of a kind.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let mut paths: Vec<_> = fs::read_dir(folder(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number, not `{text}`")))
}

/// Runs one input; a failure keeps it.
fn run(name: &str, target: fn(&[u8]), input: &[u8]) -> Duration {
    let started = Instant::now();
    let ended = catch_unwind(AssertUnwindSafe(|| target(input)));
    let took = started.elapsed();
    if ended.is_err() || took > TOO_LONG {
        let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/fuzz");
        fs::create_dir_all(&kept).unwrap();
        let digest = input
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
        let path = kept.join(format!("{name}-{digest:016x}"));
        fs::write(&path, input).unwrap();
        panic!("{name}: fails, or takes {took:?}, on {} bytes: {}", input.len(), path.display());
    }
    took
}

fn drive(name: &str, kind: &str, target: fn(&[u8])) {
    let seconds = setting("PORTCULLIS_FUZZ_SECONDS");
    let fresh = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock").as_secs();
    let seed = setting("PORTCULLIS_FUZZ_SEED").unwrap_or_else(|| seconds.map_or(1, |_| fresh()));
    let mut random = Random::new(seed);
    let mut inputs = corpus(kind);
    for input in &inputs {
        run(name, target, input);
    }
    let (mut ran, mut slowest) = (0_u64, (Duration::ZERO, 0));
    let until = Instant::now() + Duration::from_secs(seconds.unwrap_or(1));
    while Instant::now() < until {
        let input = mutate::changed(&inputs, &mut random, LONGEST);
        let took = run(name, target, &input);
        ran += 1;
        if took > slowest.0 {
            slowest = (took, input.len());
        }
        // What was made becomes the start of more, so that changes pile up.
        if random.below(16) == 0 {
            if inputs.len() > 512 {
                let at = random.below(inputs.len());
                inputs.swap_remove(at);
            }
            inputs.push(input);
        }
    }
    eprintln!("{name}: {ran} inputs, seed {seed}; the slowest took {:?} for {} bytes", slowest.0, slowest.1);
}

#[test]
fn fuzz_normalize() {
    drive("normalize", "text", targets::normalize);
}

#[test]
fn fuzz_scan() {
    drive("scan", "text", targets::scan);
}

#[test]
fn fuzz_window() {
    drive("window", "text", targets::window);
}

#[test]
fn fuzz_classify() {
    drive("classify", "text", targets::classify);
}

#[test]
fn fuzz_rules() {
    drive("rules", "rules", targets::rules);
}
