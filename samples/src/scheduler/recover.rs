//! What an operator does with a data directory when a majority of the voters is lost for good.

use std::path::PathBuf;

use clustron_core::recovery;

/// Which directory, and whether it is meant.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The data directory of a node that does not run.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,

    /// Make the node a cluster of its own, with a new id. What only the lost nodes had is lost, and
    /// none of them can come back with its directory. Without this the directory is only shown.
    #[arg(long)]
    i_have_lost_the_majority: bool,

    /// Who declares the loss, or why: it is kept in the cluster.
    #[arg(long, default_value = "an operator")]
    by: String,
}

/// Shows the directory, and declares the loss if that is meant.
///
/// # Errors
/// The directory cannot be used, or its node runs; the error says why. Nothing was changed then.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    println!("{}", recovery::inspect(&arguments.data_dir)?);
    if arguments.i_have_lost_the_majority {
        let loss = recovery::declare_loss(&arguments.data_dir, &arguments.by)?;
        println!("{loss}");
        println!("start this node as usual, and the others with empty directories");
    }
    Ok(())
}
