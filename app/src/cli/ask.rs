//! The question before something is replaced.

use std::io::{self, IsTerminal, Write};

use volsnap::{Code, Error, Result};

use super::{plain, width::Width};

/// Whether there is somebody to ask.
pub fn is_possible() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// What a question is about.
pub struct Aim {
    /// What a yes does.
    pub act: &'static str,
    /// What is done if the answer is yes.
    pub done: &'static str,
    /// The command that shows it beforehand.
    pub look: &'static str,
}

/// Asks whether to restore.
pub async fn ask(question: &str) -> Result<()> {
    ask_for(question, &Aim { act: "restore", done: "restored", look: "volsnap plan" }).await
}

/// Asks on the terminal, off the runtime's threads; anything but yes is no. The terminal stays as it is, so that Ctrl-C
/// ends the question and the process.
pub async fn ask_for(question: &str, aim: &Aim) -> Result<()> {
    let Aim { act, done, look } = aim;
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
            Err(Error::new(Code::Refused, format!("not {done}: the answer was {answer}"))
                .hint(format!("nothing was touched; answer y or yes, or give --yes to {act} without a question")))
        }
        Err(error) => Err(Error::new(Code::Usage, format!("the question could not be asked: {error}"))
            .hint(format!("look at `{look}`, then give --yes"))),
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
