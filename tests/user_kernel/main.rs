//! The scenarios of the user kernel, each over a connection that passes what is said as it comes, byte by
//! byte, and in as few pieces as possible: the same must come of it.

mod refused;

#[path = "scenarios.rs"]
mod whole;

#[path = "scenarios.rs"]
#[expect(clippy::duplicate_mod, reason = "the same scenarios, cut into bytes")]
mod cut;

#[path = "scenarios.rs"]
#[expect(clippy::duplicate_mod, reason = "the same scenarios, glued")]
mod glued;
