//! Writes the Rust of Substrait's messages anew, from the `.proto` files beside it: `cargo run` in this folder.
//!
//! The compiler of `.proto` files is in Rust, so nothing else need be installed.

use std::error::Error;
use std::path::Path;

const FILES: [&str; 5] = [
    "substrait/algebra.proto",
    "substrait/extended_expression.proto",
    "substrait/extensions/extensions.proto",
    "substrait/plan.proto",
    "substrait/type.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let described = protox::compile(FILES, [package.join("proto")])?;
    prost_build::Config::new()
        .out_dir(package.join("src/proto"))
        .disable_comments(["."])
        .compile_well_known_types()
        .extern_path(".google.protobuf", "::pbjson_types")
        .compile_fds(described)?;
    Ok(())
}
