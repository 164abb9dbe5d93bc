//! The command line: what `landfast` can be told, and who does it.

mod check;
mod connection;
mod lake;
mod password;
mod policy;
mod prompt;
mod render;
mod serve;
mod sql;
mod statements;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::demo::DemoArgs;
use crate::error::ProxyError;

pub use connection::ConnectionArgs;
pub use render::OutputFormat;

/// One Arrow Flight SQL endpoint over one Iceberg namespace; every query reads each file from its nearest copy.
#[derive(Debug, Parser)]
#[command(name = "landfast", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the proxy
    Serve(serve::ServeArgs),
    /// Check a configuration: read it, then ask every site and catalog for a sign of life
    Check(check::CheckArgs),
    /// Make a small lake with three sites on this machine, serve it, and show what nearest copies save
    Demo(DemoArgs),
    /// Send SQL to a running proxy (or any Flight SQL server)
    Sql(sql::SqlArgs),
    /// See and register tables through a running proxy
    Table(TableArgs),
    /// See sites through a running proxy
    Site(SiteArgs),
    /// Work with users of the configuration file
    User(UserArgs),
    /// See what a policy file gives to whom
    Policy(PolicyArgs),
}

#[derive(Debug, Args)]
struct TableArgs {
    #[command(subcommand)]
    command: lake::TableCommand,
}

#[derive(Debug, Args)]
struct SiteArgs {
    #[command(subcommand)]
    command: lake::SiteCommand,
}

#[derive(Debug, Args)]
struct PolicyArgs {
    #[command(subcommand)]
    command: policy::PolicyCommand,
}

#[derive(Debug, Args)]
struct UserArgs {
    #[command(subcommand)]
    command: UserCommand,
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Read a password (asked for, or from standard input) and print its argon2 hash for `[[user]] password_hash`
    Hash,
}

/// Does what the arguments say, and ends with 0, with 1 after an error, or with 2 when they can't be understood.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too. When the terminal is gone there is nobody to tell.
            let printed = error.print();
            drop(printed);
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("landfast: the runtime can't be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(run(cli.command));
    // Work that nobody waits for any more, such as a listing of a slow site, doesn't hold up the end.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(ProxyError::Terminal(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("landfast: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<(), ProxyError> {
    let mut out = std::io::stdout();
    match command {
        Command::Serve(args) => serve::run(args).await,
        Command::Check(args) => check::run(&args, &mut out).await,
        Command::Demo(args) => crate::demo::run(args, &mut out).await,
        Command::Sql(args) => sql::run(args, &mut out).await,
        Command::Table(args) => lake::table(args.command, &mut out).await,
        Command::Site(args) => lake::site(args.command, &mut out).await,
        Command::User(UserArgs {
            command: UserCommand::Hash,
        }) => password::hash(&mut out),
        Command::Policy(args) => policy::run(&args.command, &mut out),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
