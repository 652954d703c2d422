//! `kennel doctor`: looks a data folder's database over, from end to end. Beside a running host too; writes nothing.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use kennel_store::Inspector;

/// What `kennel doctor` takes.
#[derive(Args)]
pub(crate) struct DoctorArgs {
    /// Folder of the database, as `kennel serve` has it
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
}

/// Exit code 1: it is damaged.
pub(crate) async fn run(args: DoctorArgs) -> ExitCode {
    match look_over(&args).await {
        Ok(faults) if faults.is_empty() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => super::fail(&error),
    }
}

async fn look_over(args: &DoctorArgs) -> anyhow::Result<Vec<String>> {
    let inspector = Inspector::open(&args.data).await?;
    let faults = inspector.look_over().await?;
    let mut stdout = std::io::stdout().lock();
    let told = if faults.is_empty() {
        writeln!(stdout, "the database in {} is whole", args.data.display())
    } else {
        let lines = faults.join("\n  ");
        let cure = "stop the host and restore the last backup, or move the file away to start empty";
        writeln!(stdout, "the database in {} is damaged; {cure}:\n  {lines}", args.data.display())
    };
    told.context("cannot write to stdout")?;
    Ok(faults)
}
