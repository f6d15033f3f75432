//! The commands of the repository: `cargo xtask demo | test | ci | bench | tidy`.

mod checks;
mod run;
mod tidy;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  test                        every test, the runner's summary last
  tidy                        what the compiler does not check: floors, crate arrows, files, words
  ci                          formatting, clippy, docs, tidy, and every test";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["test"] => checks::test(),
        ["tidy"] => tidy::tidy(),
        ["ci"] => checks::ci(),
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(())
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}
