//! How the inventory learns.
