//! A real database server's data directory, made by the installed server.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::run::{Outcome, run_quietly};

/// Where Debian installs servers, a directory for each version.
const SERVERS: &str = "/usr/lib/postgresql";
/// pgbench's scale: about 15 MB of tables and indexes each.
const PGBENCH_SCALE: u64 = 40;

/// Makes a cluster in the directory, fills it as pgbench does and stops it cleanly.
pub fn fill(dir: &Path, scale: u64) -> Outcome {
    let server = Server { bin: newest(Path::new(SERVERS))?, data: dir.to_path_buf() };
    if rustix::process::geteuid().is_root() {
        let mut own = Command::new("chown");
        own.arg("postgres:").arg(dir);
        run_quietly(own)?;
    }
    run_quietly(server.ask("initdb", &["--auth=trust", "--username=postgres", "--no-sync", "-D"]))?;
    // What is measured is not how it was filled. The socket is in the data directory, so that it goes with it.
    let options = format!("-c listen_addresses='' -c fsync=off -k '{}'", dir.display());
    run_quietly(server.ask("pg_ctl", &["-w", "-s", "-l", "/dev/null", "-o", &options, "start", "-D"]))?;
    let scale = (PGBENCH_SCALE / scale).max(1).to_string();
    let filled = run_quietly(server.ask("pgbench", &["-U", "postgres", "-q", "-i", "-s", &scale, "-h"]));
    let stopped = run_quietly(server.ask("pg_ctl", &["-w", "-s", "-m", "fast", "stop", "-D"]));
    filled.and(stopped)
}

struct Server {
    bin: PathBuf,
    data: PathBuf,
}

impl Server {
    /// One of its programs, whose last word is the data directory. It refuses to be run by root.
    fn ask(&self, program: &str, words: &[&str]) -> Command {
        let program = self.bin.join(program);
        let mut command = if rustix::process::geteuid().is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.args(words).arg(&self.data).current_dir("/");
        command
    }
}

/// The programs of the newest version.
fn newest(servers: &Path) -> Outcome<PathBuf> {
    let versions = fs::read_dir(servers).into_iter().flatten().flatten();
    let versions = versions.filter_map(|entry| entry.file_name().to_string_lossy().parse::<u32>().ok());
    let newest = versions.max().ok_or_else(|| "PostgreSQL is not installed".to_string())?;
    Ok(servers.join(newest.to_string()).join("bin"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_server_is_taken_by_number() {
        let dir = std::env::temp_dir().join(format!("volsnap-servers-{}", std::process::id()));
        for name in ["9", "15", "common"] {
            fs::create_dir_all(dir.join(name)).unwrap();
        }
        let found = newest(&dir);
        fs::remove_dir_all(&dir).unwrap();
        assert_eq!(found.unwrap(), dir.join("15/bin"));
        assert!(newest(&dir).is_err());
    }
}
