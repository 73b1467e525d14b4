//! A load on a unit allocates nothing per operation: counted over a run, on a disk that answers at once.

use std::alloc::System;
use std::sync::Arc;
use std::time::Duration;

use iscsid::kernel_bridge::user::block::{Block, Geometry, Io, Pool};
use iscsid::load::{Job, Load, Mix};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Says that it has done everything.
struct Null(Pool);

impl Block for Null {
    fn geometry(&self) -> Geometry {
        Geometry {
            block_size: 512,
            blocks: 1 << 20,
            physical_block_size: 512,
            max_transfer: 1 << 20,
            optimal_transfer: 1 << 20,
            max_unmap_blocks: 0,
            max_zero_blocks: 0,
            read_only: false,
            write_cache: false,
            rotational: false,
        }
    }

    fn submit(&self, batch: &mut Vec<Io>) {
        batch.drain(..).for_each(|io| io.completion.finish(Ok(()), io.buffer));
    }

    fn pool(&self) -> &Pool {
        &self.0
    }
}

#[test]
fn nothing_is_allocated_per_operation() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let unit = Arc::new(Null(Pool::new(64 << 20)));
    for (mix, random, verify) in [(Mix::Reads, false, false), (Mix::Half, true, false), (Mix::Writes, true, true)] {
        let job = Job { mix, random, length: 4096, depth: 32, verify, seed: 7 };
        let mut load = Load::new(unit.clone(), job).expect("it fits");
        runtime.block_on(async {
            load.prepare().await;
            // The queue of completions grows to its size.
            load.run(Duration::from_millis(10)).await.expect("nothing fails");
            let (before, region) = (load.meter().measured(), Region::new(ALLOCATOR));
            load.run(Duration::from_millis(100)).await.expect("nothing fails");
            let (change, operations) = (region.change(), load.meter().measured() - before);
            assert!(operations > 1000, "{operations}");
            assert_eq!((change.allocations, change.reallocations), (0, 0), "{job:?}, {operations} operations");
        });
    }
}
