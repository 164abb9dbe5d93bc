//! A lake with three sites on one machine, to see what reading the nearest copy saves.
//!
//! `gcp` is the origin of all tables, `dc-east` and `dc-west` hold copies of a part of them, and links between the
//! sites are slowed down to what such links are. The proxy stands at `dc-east`. Everything is real but the distance:
//! files, catalog, proxy, client, and the receipts that the numbers come from.

mod compare;
mod house;
pub mod lake;
mod making;
mod queries;
mod report;
mod welcome;

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use crate::config::{self, Config};
use crate::error::ProxyError;
use crate::serve;

pub use compare::{Comparison, Measured, compare};
pub use house::{House, HouseState};
pub use queries::{DEMO_QUERIES, DemoQuery};

/// `landfast demo`.
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// TPC-H's scale factor: at 1, lineitem has 6 million rows
    #[arg(long, default_value_t = 0.1, value_parser = scale_factor)]
    pub scale_factor: f64,
    /// The directory of the lake; made when missing, used again when it is there
    #[arg(long, default_value = "landfast-demo")]
    pub dir: PathBuf,
    /// Where Flight SQL is served; a loopback address, as the demo has no users
    #[arg(long, default_value = "127.0.0.1:31337")]
    pub listen: SocketAddr,
    /// End after the comparison instead of staying up
    #[arg(long)]
    pub exit: bool,
}

fn scale_factor(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && (0.001..=1000.0).contains(&value) => Ok(value),
        _ => Err("a number from 0.001 to 1000 is wanted".to_owned()),
    }
}

/// Makes the lake or takes the one that is there, serves it, compares, and stays up until it is told to stop.
///
/// # Errors
/// When the port is taken, the directory can't be written, or anything on the way fails.
pub async fn run(args: DemoArgs, out: &mut (dyn Write + Send)) -> Result<(), ProxyError> {
    // What would fail in a minute can as well fail now.
    serve::check_address("demo", args.listen)?;
    let house = House::open(&args.dir, args.scale_factor)?;
    match house.state() {
        HouseState::Ready => writeln!(
            out,
            "Using the lake in {} again (TPC-H, scale factor {}).",
            house.dir().display(),
            args.scale_factor
        )?,
        HouseState::Missing(why) => {
            writeln!(
                out,
                "Making a lake in {} (TPC-H, scale factor {}): {why}.",
                house.dir().display(),
                args.scale_factor
            )?;
            house.build().await?;
        }
    }
    out.flush()?;

    let config = demo_config(&house, args.listen)?;
    crate::logging::start(&config.log);
    let running = serve::start(config).await?;
    let result = show(&house, running.flight_addr(), &args, out).await;
    match result {
        Ok(()) if !args.exit => {
            running.until_stopped().await?;
            writeln!(out, "Stopped. The lake stays in {}.", house.dir().display())?;
            Ok(())
        }
        result => {
            running.shutdown().await?;
            result
        }
    }
}

fn demo_config(house: &House, listen: SocketAddr) -> Result<Config, ProxyError> {
    Ok(config::parse(&house.config(listen), house.dir())?)
}

async fn show(
    house: &House,
    address: SocketAddr,
    args: &DemoArgs,
    out: &mut (dyn Write + Send),
) -> Result<(), ProxyError> {
    report::sites(house, out)?;
    let comparisons = compare(address).await?;
    report::comparison(&comparisons, out)?;
    if !args.exit {
        welcome::how_to_connect(address, out)?;
    }
    out.flush()?;
    Ok(())
}
