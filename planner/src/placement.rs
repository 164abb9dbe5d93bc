//! Which site each file is read from.

/// How the site of a file is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PlacementMode {
    /// The site with the best score: latency, bandwidth and cost of what will be read.
    #[default]
    Nearest,
    /// The file's origin, always: to compare with.
    Origin,
}
