//! Prints the contract: `cargo run -p tasks-api > api/openapi.json`, or as YAML with `--yaml`.

use std::io::Write;
use std::process::ExitCode;

use tasks_api::openapi::{JSON, YAML};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let text = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => &JSON,
        ["--yaml"] => &YAML,
        _ => {
            eprintln!("usage: tasks-api [--yaml]   prints the contract as JSON or YAML");
            return ExitCode::from(2);
        }
    };
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the contract could not be written: {error}");
            ExitCode::FAILURE
        }
    }
}
