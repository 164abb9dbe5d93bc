//! Where the bytes are: stores, links, inventory and routed reads.
