//! The command line of volsnap.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
