//! The border as C uses it.

mod commands;
mod late;
mod loss;
mod refuse;
mod rig;
mod wrong;
