//! Remedies, followed as they were printed.

use std::process::Command;

use super::{Ran, World};

/// What is printed after `hint:`, until the next line that begins like one.
pub fn hint(ran: &Ran) -> String {
    let said = format!("{}\n{}", ran.stderr, ran.stdout);
    let (_, hint) = said.split_once("hint: ").unwrap_or_else(|| panic!("no hint in {ran:?}"));
    let lines = hint.lines().enumerate().take_while(|(at, line)| *at == 0 || line.starts_with("  "));
    lines.map(|(_, line)| line.trim()).collect::<Vec<_>>().join(" ")
}

/// The commands that a text names: what stands between backquotes and begins with the name of a program.
pub fn commands(text: &str) -> Vec<String> {
    const PROGRAMS: [&str; 10] =
        ["volsnap", "docker", "find", "mv", "mkdir", "chattr", "lsattr", "chown", "chmod", "mount"];
    let quoted = text.split('`').skip(1).step_by(2);
    let is_command = |text: &&str| PROGRAMS.contains(&text.split(' ').next().unwrap_or_default());
    quoted.filter(is_command).map(String::from).collect()
}

impl World {
    /// Runs a line in a shell that finds `volsnap`, with this world's state directory.
    pub fn shell(&self, line: &str) -> Ran {
        let like = self.command(&[]);
        let directory = std::path::Path::new(like.get_program()).parent().unwrap().display().to_string();
        let mut command = Command::new("sh");
        command.args(["-c", line]).env_clear().current_dir(self.path(""));
        command.envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env("PATH", format!("{directory}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"));
        Ran::of(command.output().unwrap())
    }

    /// Runs such lines; each must succeed.
    pub fn shell_all(&self, lines: &[String]) {
        for line in lines {
            let ran = self.shell(line);
            assert_eq!(ran.status, 0, "{line}: {ran:?}");
        }
    }
}

/// A command with its placeholders filled in.
pub fn filled(command: &str, values: &[(&str, &str)]) -> String {
    let value =
        |word: &str| values.iter().find(|(name, _)| *name == word).map_or(word.to_string(), |v| v.1.to_string());
    command.split(' ').map(value).collect::<Vec<_>>().join(" ")
}
