//! Trap tests: what a scan of Iceberg files gets wrong first.

mod avro_deletes;
mod blooms;
mod columns;
mod defaults;
mod delete_files;
mod deletes;
mod distinct_counts;
mod divided;
mod filters;
mod foreign;
mod incomplete_keys;
mod keys;
mod keys_ruled_out;
pub(super) mod lake;
mod lineage;
mod nested;
mod oracle;
mod promotions;
mod pruning;
mod reading;
mod sorted;
mod statistics;
