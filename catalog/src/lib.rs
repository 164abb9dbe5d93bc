//! What a table is right now: members, the namespace, snapshots and manifests.
