//! What a unit is called.

/// A unit's name among all: `<target name>/<lun>`, which is its NBD export name.
pub type UnitName = String;
