//! The service: everything with a socket, a clock or a configuration file.
//!
//! A query's way: Flight decodes a command, the engine of `landfast_planner` plans and runs it, and the receipt of what
//! it read is recorded. `serve` puts all parts together, in one place.
//!
//! # Invariants
//! - This is the only crate that knows Flight.
//! - One place maps errors to gRPC status codes.
//! - Nothing is served without TLS and authentication, except on a loopback address by request.

mod admin;
pub mod admission;
pub mod audit;
pub mod auth;
pub mod cli;
pub mod client;
pub mod config;
pub mod connections;
pub mod cpu;
pub mod demo;
pub mod error;
pub mod flight;
pub mod limits;
pub mod logging;
pub mod metrics;
mod policy;
pub mod queries;
pub mod serve;
pub mod session;
pub mod system;

pub use error::{ProxyError, ProxyErrorKind};

/// Chooses the process's cryptography for TLS, once; every later call changes nothing.
pub fn install_crypto() {
    // An error means that one is installed already, by us or by a program that embeds this crate.
    drop(rustls::crypto::ring::default_provider().install_default());
}
