//! Substrait's messages for `datafusion-substrait`, in the place of the crate of the same name and version.
//!
//! That crate writes the Rust of its messages while it is built, with a `protoc` that has to be installed. Here the same
//! `.proto` files (in `proto`, Apache-2.0, of <https://github.com/substrait-io/substrait>) were compiled beforehand, so that
//! a machine with nothing but Rust builds them, and in a tenth of the time. `generate` writes them anew.
//!
//! What `datafusion-substrait` does not use is left out: texts, extensions' YAML, JSON, and parsing.

/// The messages.
#[allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    reason = "written by prost-build"
)]
pub mod proto {
    include!("proto/substrait.rs");

    /// The messages of extensions.
    pub mod extensions {
        include!("proto/substrait.extensions.rs");
    }
}

/// Which version of Substrait this is.
pub mod version {
    use crate::proto::Version;

    /// The major version of Substrait whose messages these are.
    pub const SUBSTRAIT_MAJOR_VERSION: u32 = 0;
    /// The minor version of Substrait whose messages these are.
    pub const SUBSTRAIT_MINOR_VERSION: u32 = 85;
    /// The patch version of Substrait whose messages these are.
    pub const SUBSTRAIT_PATCH_VERSION: u32 = 0;

    /// The version of Substrait whose messages these are.
    pub fn version() -> Version {
        Version {
            major_number: SUBSTRAIT_MAJOR_VERSION,
            minor_number: SUBSTRAIT_MINOR_VERSION,
            patch_number: SUBSTRAIT_PATCH_VERSION,
            ..Version::default()
        }
    }

    /// The same, as a plan made by `producer` says it.
    pub fn version_with_producer(producer: impl Into<String>) -> Version {
        Version {
            producer: producer.into(),
            ..version()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use sha2::{Digest, Sha256};

    /// The files that the messages were made from, and what they were then.
    const MADE_FROM: [(&str, &[u8], &str); 5] = [
        (
            "algebra.proto",
            include_bytes!("../proto/substrait/algebra.proto"),
            "cefdbedae5315e6200074869ba5366feb08f45b6ba5baa0f12f9ba717b504500",
        ),
        (
            "extended_expression.proto",
            include_bytes!("../proto/substrait/extended_expression.proto"),
            "ebbb22a0dd997fde18a4dc3df7d4dd67a6c1b6477e098830c4c7451320503fbb",
        ),
        (
            "extensions/extensions.proto",
            include_bytes!("../proto/substrait/extensions/extensions.proto"),
            "0eea193ab1a0afcd008fa636fbd325b43d3faf068e9c646533d4a468dc8537f2",
        ),
        (
            "plan.proto",
            include_bytes!("../proto/substrait/plan.proto"),
            "2df6a2d83554f67e00810fcbdaece4323c92d7d5832742a26e584d5aa05cb130",
        ),
        (
            "type.proto",
            include_bytes!("../proto/substrait/type.proto"),
            "8ee337b32e5b94fd9fddb370d5e28bae903945a149f9d5e6dc701d59a370cc1a",
        ),
    ];

    #[test]
    fn the_messages_were_made_from_these_files() {
        for (name, file, digest) in MADE_FROM {
            let mut found = String::new();
            for byte in Sha256::digest(file) {
                write!(found, "{byte:02x}").expect("a text takes it");
            }
            assert_eq!(
                found, digest,
                "{name} has changed: run `cargo run` in `generate`, then write the new digest here"
            );
        }
    }
}
