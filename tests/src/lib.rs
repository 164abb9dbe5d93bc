//! The harness of the end-to-end tests: real servers and clients on free ports.
