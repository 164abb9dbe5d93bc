//! Where each byte is read, and how: SQL, pruning, placement and the scan.
