//! What a unit is called.

/// A unit's name among all: `<target name>/<lun>`, which is its NBD export name.
pub type UnitName = String;

/// The two parts of a unit's name: the target's, and the unit's number, or its address in hexadecimal where it has no number.
/// What is no name is a target's, of no unit.
pub fn name_parts(unit: &str) -> (&str, &str) {
    unit.rsplit_once('/').unwrap_or((unit, ""))
}
