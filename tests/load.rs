//! A load on a unit allocates nothing per operation: counted over a run, on a disk that answers at once.

use std::alloc::System;
use std::sync::Arc;
use std::time::Duration;

use iscsid::block::{Block, Geometry, Io, Pool};
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
            slow_zeroes: false,
        }
    }

    fn submit(&self, batch: &mut Vec<Io>) {
        batch.drain(..).for_each(|io| io.completion.finish(Ok(()), io.buffer));
    }

    fn pool(&self) -> &Pool {
        &self.0
    }
}

/// Operations that warm up, and as many that count.
const MANY: u64 = 20_000;

/// Growth of the runtime's queues, and what the test's other thread does: per run, not per operation.
const FEW: usize = 8;

async fn run_many(load: &mut Load) -> u64 {
    let before = load.meter().measured();
    while load.meter().measured() < before + MANY {
        load.run(Duration::from_millis(10)).await.expect("nothing fails");
    }
    load.meter().measured() - before
}

#[test]
fn nothing_is_allocated_per_operation() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let unit = Arc::new(Null(Pool::new(64 << 20)));
    for (mix, random, verify) in [(Mix::Reads, false, false), (Mix::Half, true, false), (Mix::Writes, true, true)] {
        let job = Job { mix, random, length: 512, depth: 32, verify, seed: 7 };
        let mut load = Load::new(unit.clone(), job).expect("it fits");
        runtime.block_on(async {
            load.prepare().await;
            run_many(&mut load).await;
            let region = Region::new(ALLOCATOR);
            let operations = run_many(&mut load).await;
            let change = region.change();
            let allocations = change.allocations + change.reallocations;
            assert!(allocations <= FEW, "{job:?}: {allocations} allocations in {operations} operations");
        });
    }
}
