//! A scriptable in-memory iSCSI target.
