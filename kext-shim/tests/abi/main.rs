//! The border as C uses it.

mod commands;
mod fence;
mod late;
mod loss;
mod rig;
mod wrong;
