//! Takes down the disks of a test that has ended: `volsnap-guard DIRECTORY PID`.

use std::path::Path;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let ended = match words.as_slice() {
        [dir, test] => match test.parse() {
            Ok(test) => volsnap_tests::crash::disk::guard::stand(Path::new(dir), test).map_err(|e| e.to_string()),
            Err(_) => Err(format!("{test} is no process")),
        },
        _ => Err("which directory, and whose?".to_string()),
    };
    if let Err(error) = ended {
        eprintln!("volsnap-guard: {error}");
        std::process::exit(1);
    }
}
