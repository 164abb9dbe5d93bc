//! The `landfast` program.

fn main() -> std::process::ExitCode {
    landfast_proxy::cli::main(std::env::args_os())
}
