//! Chores of the repository: `cargo xtask schema` rewrites the committed table of built-in types.

use std::process::ExitCode;

use clap::Parser;

mod schema;

#[derive(Parser)]
#[command(name = "xtask", about = "Chores of the repository")]
enum Task {
    /// Rewrite api/schema/v1.36.txt from the sources of k8s-openapi and k8s-pb and from api/schema/overlay.txt
    Schema {
        /// Change nothing; fail if the committed table is not what the sources say
        #[arg(long)]
        check: bool,
    },
}

fn main() -> ExitCode {
    let Task::Schema { check } = Task::parse();
    match schema::run(check) {
        Ok(done) => {
            eprintln!("{done}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}
