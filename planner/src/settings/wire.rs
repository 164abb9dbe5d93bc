//! How results are sent: which Arrow types, and whether compressed. The engine knows these settings only by name; whoever
//! sends results goes by them.

/// Which Arrow types a result has when it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum WireTypes {
    /// Those that every released driver reads: no views, dictionaries, run-end encoding or narrow decimals.
    #[default]
    Compatible,
    /// The same, and timestamps with a zone as those of UTC without one: for drivers that can't read a zone.
    Zoneless,
    /// As the engine makes them.
    Native,
}

impl WireTypes {
    /// Every one with its name in settings.
    pub const ALL: [(&'static str, Self); 3] = [
        ("compatible", Self::Compatible),
        ("zoneless", Self::Zoneless),
        ("native", Self::Native),
    ];

    /// Its name in settings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Compatible => "compatible",
            Self::Zoneless => "zoneless",
            Self::Native => "native",
        }
    }
}

/// How the buffers of a result are compressed when it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Compression {
    /// Not at all: what every released driver reads.
    #[default]
    None,
    /// LZ4 frames: fast.
    Lz4,
    /// Zstandard: smaller.
    Zstd,
}

impl Compression {
    /// Every one with its name in settings.
    pub const ALL: [(&'static str, Self); 3] = [
        ("none", Self::None),
        ("lz4", Self::Lz4),
        ("zstd", Self::Zstd),
    ];

    /// Its name in settings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}
