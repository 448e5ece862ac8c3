//! Checks a history that a failed test has kept: `cargo run -p shardplane-robustness --example check -- FILE.jsonl`

use std::fs::File;
use std::io::BufReader;
use std::process::ExitCode;

use robustness::{History, Rules, check};

#[expect(clippy::print_stdout, reason = "the verdict is its data")]
fn main() -> ExitCode {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("which file?");
        return ExitCode::FAILURE;
    };
    let read = File::open(&path).map_err(|error| error.to_string());
    let history = match read.and_then(|file| History::load(BufReader::new(file)).map_err(|error| error.to_string())) {
        Ok(history) => history,
        Err(error) => {
            eprintln!("{path}: {error}");
            return ExitCode::FAILURE;
        }
    };
    let verdict = check(&history, Rules::default());
    println!("{verdict}");
    if verdict.is_fine() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
