//! Arrow's integration scenarios against Landfast's dispatcher: by Arrow's own client, and by one in Rust that expects
//! the same, for machines without Go.

#![allow(
    clippy::unwrap_used,
    reason = "a scenario that does not hold says where and stops"
)]

mod arrows_own;
mod client;
mod flights;
mod refusals;
mod sessions;
mod sql;
