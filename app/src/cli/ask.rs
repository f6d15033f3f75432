//! The question before something is replaced.

use std::io::{self, IsTerminal, Write};

use volsnap::{Code, Error, Result};

use super::{plain, width::Width};

/// Whether there is somebody to ask.
pub fn is_possible() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks on the terminal, off the runtime's threads; anything but yes is no. The terminal stays as it is, so that Ctrl-C
/// ends the question and the process.
pub async fn ask(question: &str) -> Result<()> {
    // The answer stands behind it.
    let question = Width::of(&io::stderr()).less(5).wrapped(&format!("{} [y/N]", plain::line(question)), 0);
    let asked = tokio::task::spawn_blocking(move || answer(&question));
    match asked.await.map_err(|error| Error::new(Code::Internal, format!("the question: {error}")))? {
        Ok(answer) if is_yes(&answer) => Ok(()),
        Ok(answer) => {
            let answer = match answer.trim() {
                "" => "no",
                said => said,
            };
            Err(Error::new(Code::Refused, format!("not restored: the answer was {answer}"))
                .hint("nothing was touched; answer y or yes, or give --yes to restore without a question"))
        }
        Err(error) => Err(Error::new(Code::Usage, format!("the question could not be asked: {error}"))
            .hint("look at `volsnap plan`, then give --yes")),
    }
}

/// Holds no lock while it waits: a signal's last words go to the same stream.
fn answer(question: &str) -> io::Result<String> {
    // In one piece: what is typed ahead stands behind it, and not before its last blank.
    io::stderr().write_all(format!("{question} ").as_bytes())?;
    let mut answer = String::new();
    let length = io::stdin().read_line(&mut answer)?;
    if length == 0 {
        // Ctrl-D: what comes next begins a line of its own.
        writeln!(io::stderr())?;
    }
    Ok(answer)
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::is_yes;

    #[test]
    fn only_yes_is_yes() {
        for yes in ["y\n", "Y\n", "yes\n", " YES \n"] {
            assert!(is_yes(yes), "{yes:?}");
        }
        for no in ["", "\n", "n\n", "no\n", "yeah\n", "ye\n", "j\n"] {
            assert!(!is_yes(no), "{no:?}");
        }
    }
}
