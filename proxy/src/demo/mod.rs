//! A lake with three sites on one machine, to see what reading the nearest copy saves.

pub mod lake;
