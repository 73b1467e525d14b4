//! Runs a target until it is interrupted: for trying initiators by hand.
//!
//! `cargo run -p sim-target --example serve -- 127.0.0.1:3260`

use sim_target::{SimDisk, SimTarget};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let portal = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".into());
    let target = SimTarget::builder("iqn.2026-01.test.sim:disk")
        .portal(&portal)
        .lun(0, SimDisk::new(1 << 20, 512).thin())
        .lun(1, SimDisk::new(1 << 18, 4096).null())
        .start()
        .await?;
    println!("iscsi://{}/{}/0 (LUN 1 forgets what is written)", target.address(), target.name());
    tokio::signal::ctrl_c().await?;
    for violation in target.violations() {
        println!("{violation}");
    }
    target.shutdown().await;
    Ok(())
}
