//! `landfast serve`.

use std::path::PathBuf;

use clap::Args;

use crate::config::{self, Overrides};
use crate::error::ProxyError;

#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// The configuration file
    #[arg(long)]
    config: PathBuf,
    /// No TLS and no authentication, whatever the file says; only on a loopback address
    #[arg(long)]
    insecure: bool,
}

pub(super) async fn run(args: ServeArgs) -> Result<(), ProxyError> {
    let overrides = Overrides {
        insecure: args.insecure,
    };
    let config = config::load_with(&args.config, overrides)?;
    crate::logging::start(&config.log);
    crate::serve::start(config).await?.until_stopped().await
}
