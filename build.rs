//! The rules are built into the binary: a new rule file means a new binary.

use std::io::Write;

fn main() -> std::io::Result<()> {
    writeln!(std::io::stdout(), "cargo:rerun-if-changed=rules")
}
