//! `landfast` itself, under a name that `cargo test` builds beside the tests, with the tests' own feature set.

fn main() -> std::process::ExitCode {
    landfast_proxy::cli::main(std::env::args_os())
}
