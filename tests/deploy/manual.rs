//! Writes the manual pages and the completions of shells into a folder, for the package: `cargo run --example manual -- FOLDER`.

use std::error::Error;
use std::fs::create_dir_all;
use std::path::PathBuf;

use clap_complete::Shell;
use tasks_server::config::command;

fn main() -> Result<(), Box<dyn Error>> {
    let folder: PathBuf = std::env::args_os().nth(1).ok_or("say into which folder")?.into();
    create_dir_all(&folder)?;
    clap_mangen::generate_to(command(), &folder)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut command(), "tasks-server", &folder)?;
    }
    Ok(())
}
