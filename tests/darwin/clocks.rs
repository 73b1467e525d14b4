//! Clocks as Libc's gen/clock_gettime.c and osfmk/mach/mach_time.h have them; what sleep does to what they tell,
//! `power` asks.

use std::time::Duration;

use crate::mac::Mac;
use crate::machrun::{Program, is_arm64};

#[test]
fn the_time_of_day_is_told_in_microseconds_and_the_uptime_in_ticks() {
    let Some(program) = Program::named("clocks") else { return };
    let told = program.says(&[]);
    // A tick of Apple silicon is 125/3 ns.
    let (raw, base) = if is_arm64() { ("0 41", "0 [125, 3]") } else { ("0 1", "0 [1, 1]") };
    let resolutions = ["0 1000", raw, "0 1000", raw, "0 1000", raw];
    // EINVAL of a clock that there is none of.
    let day = ["-1 22", "true 0", "true true"];
    let ticks = [base, "0 true", "true"];
    let sleeps = ["-1", "-1", "0", "true"];
    assert_eq!(told.lines().collect::<Vec<_>>(), [&resolutions[..], &day, &ticks, &sleeps].concat());
}

/// Everything that waits waits by the uptime, which stands still meanwhile.
#[test]
fn a_wait_is_as_much_longer_as_the_machine_sleeps() {
    let Some(program) = Program::named("clocks") else { return };
    let waits = ["nanosleep", "kevent", "poll", "select", "condition", "park"];
    for (how, events) in waits.iter().map(|how| (how, 0)).chain([(&"timer", 1)]) {
        let mac = Mac::new();
        let mut talk = mac.start(&program, &[how]);
        talk.expect(&["ready"]);
        mac.told(&program, &["sleep"]);
        std::thread::sleep(Duration::from_millis(400)); // so long it sleeps
        mac.told(&program, &["wake"]);
        assert_eq!(talk.line(), format!("{events} true"), "{how}");
        talk.end();
    }
}
