//! IOReturn, as far as the extension answers with it: names and numbers of IOKit's IOReturn.h.

/// IOReturn, as a number.
pub type Code = u32;

/// kIOReturnSuccess: it was done.
pub const SUCCESS: Code = 0;
/// kIOReturnNoMemory: there is no memory for it.
pub const NO_MEMORY: Code = 0xe000_02bd;
/// kIOReturnNoResources: a table of the extension is full.
pub const NO_RESOURCES: Code = 0xe000_02be;
/// kIOReturnBadArgument: a value outside its range, or another length than the struct's.
pub const BAD_ARGUMENT: Code = 0xe000_02c2;
/// kIOReturnExclusiveAccess: another client listens.
pub const EXCLUSIVE_ACCESS: Code = 0xe000_02c5;
/// kIOReturnUnsupported: there is no such selector, or the versions do not fit.
pub const UNSUPPORTED: Code = 0xe000_02c7;
/// kIOReturnNotReady: not now, for instance while the SCSI stack looks for units.
pub const NOT_READY: Code = 0xe000_02d8;
/// kIOReturnNotAttached: the extension is gone.
pub const NOT_ATTACHED: Code = 0xe000_02d9;
/// kIOReturnNotPermitted: the session is another client's.
pub const NOT_PERMITTED: Code = 0xe000_02e2;
/// kIOReturnNotFound: there is no such session.
pub const NOT_FOUND: Code = 0xe000_02f0;
