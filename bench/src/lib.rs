//! Benchmarks beside peers, on the same files and cores.
