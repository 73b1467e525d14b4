use std::path::Path;
use std::time::{Duration, Instant};

use crate::mac::Mac;
use crate::machrun::Program;

const CAN_SLEEP: &str = "0xe0000270";
const WILL_SLEEP: &str = "0xe0000280";
const WILL_NOT_SLEEP: &str = "0xe0000290";
const HAS_POWERED_ON: &str = "0xe0000300";
const WILL_POWER_ON: &str = "0xe0000320";

/// An hour, in milliseconds.
const HOUR: i64 = 3_600_000;

fn clocks(line: &str) -> (i64, i64) {
    let (uptime, time) = line.split_once(' ').expect("two clocks");
    (uptime.parse().expect("a number"), time.parse().expect("a number"))
}

#[test]
fn a_program_allows_sleep_with_the_number_it_was_told_and_hears_of_the_wake() {
    let Some(program) = Program::named("power") else { return };
    let mac = Mac::new();
    let mut talk = mac.start(&program, &["allow"]);
    talk.expect(&["ready"]);
    mac.tell(&program, &["can-sleep"], "allowed");
    mac.tell(&program, &["sleep"], "allowed");
    mac.tell(&program, &["wake"], "heard");
    talk.expect(&[CAN_SLEEP, WILL_SLEEP, WILL_POWER_ON, HAS_POWERED_ON]);
    talk.end();
    assert_eq!(mac.log(), "power registered\npower allowed 0x10000\npower allowed 0x20000\n");
}

#[test]
fn a_number_that_nobody_waits_for_allows_nothing() {
    let Some(program) = Program::named("power") else { return };
    let mac = Mac::new();
    let mut talk = mac.start(&program, &["wrong"]);
    talk.expect(&["ready"]);
    mac.tell(&program, &["--bound", "1", "can-sleep"], "late");
    talk.expect(&[CAN_SLEEP]);
    talk.end();
    assert!(mac.log().contains("power allowed 0x10001, which nobody waits for"), "{}", mac.log());
}

#[test]
fn who_was_late_three_times_is_not_waited_for() {
    let Some(program) = Program::named("power") else { return };
    let mac = Mac::new();
    let mut talk = mac.start(&program, &["never"]);
    talk.expect(&["ready"]);
    for _ in 0..3 {
        let begun = Instant::now();
        mac.tell(&program, &["--bound", "1", "can-sleep"], "late");
        assert!(begun.elapsed() >= Duration::from_secs(1), "it was waited for");
    }
    mac.tell(&program, &["can-sleep"], "not waited for");
    talk.expect(&[CAN_SLEEP; 4]);
    talk.end();
}

#[test]
fn an_idle_machine_that_is_refused_its_sleep_says_that_it_comes_to_nothing() {
    let Some(program) = Program::named("power") else { return };
    let mac = Mac::new();
    let mut talk = mac.start(&program, &["cancel"]);
    talk.expect(&["ready"]);
    let told = mac.told(&program, &["can-sleep"]);
    assert!(told.stdout.contains(" refused\n") && told.stdout.contains(" heard\n"), "{told:?}");
    talk.expect(&[CAN_SLEEP, WILL_NOT_SLEEP]);
    talk.end();
}

/// Programs are told when full wake ends and when it begins. In between they run without being told.
#[test]
fn a_dark_wake_is_told_to_nobody() {
    let Some(program) = Program::named("power") else { return };
    let mac = Mac::new();
    let mut talk = mac.start(&program, &["allow"]);
    talk.expect(&["ready"]);
    mac.tell(&program, &["sleep"], "allowed");
    mac.set(&program, &["dark-wake"]);
    clocks_run(&mut talk, &[WILL_SLEEP]);
    mac.set(&program, &["sleep"]);
    mac.set(&program, &["dark-wake"]);
    mac.tell(&program, &["wake"], "heard");
    talk.expect(&[HAS_POWERED_ON]);
    talk.end();
}

fn clocks_run(talk: &mut crate::mac::Talk, before: &[&str]) {
    talk.expect(before);
    clocks(&talk.ask("clocks"));
}

#[test]
fn uptime_stands_still_in_sleep_and_the_time_goes_on() {
    let Some(program) = Program::named("power") else { return };
    let mac = Mac::new();
    let mut talk = mac.start(&program, &["allow"]);
    talk.expect(&["ready"]);
    let (uptime, time) = clocks(&talk.ask("clocks"));
    mac.tell(&program, &["sleep"], "allowed");
    mac.tell(&program, &["wake", "3600"], "heard");
    talk.expect(&[WILL_SLEEP, WILL_POWER_ON, HAS_POWERED_ON]);
    let (uptime_then, time_then) = clocks(&talk.ask("clocks"));
    assert!((0..HOUR / 2).contains(&(uptime_then - uptime)), "{uptime} {uptime_then}");
    assert!((HOUR..HOUR * 3 / 2).contains(&(time_then - time)), "{time} {time_then}");
    talk.end();
}

#[test]
fn programs_stand_still_while_the_machine_sleeps() {
    let Some(program) = Program::named("power") else { return };
    let mac = Mac::new();
    let mut talk = mac.start(&program, &["allow"]);
    talk.expect(&["ready"]);
    let processes = mac.told(&program, &["processes"]).stdout;
    let stat = Path::new("/proc").join(processes.trim()).join("stat");
    let state = || {
        let whole = std::fs::read_to_string(&stat).expect("the process");
        whole.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()).expect("its state")
    };
    mac.tell(&program, &["sleep"], "allowed");
    let limit = Instant::now() + Duration::from_secs(10);
    while state() != 'T' {
        assert!(Instant::now() < limit, "{}", state());
        std::thread::yield_now();
    }
    mac.tell(&program, &["wake"], "heard");
    assert_ne!(state(), 'T');
    talk.end();
}

#[test]
fn what_nobody_hears_fails() {
    let Some(program) = Program::named("power") else { return };
    let mac = Mac::new();
    assert_eq!(mac.told(&program, &["can-sleep"]).status.code(), Some(1));
    let mut talk = mac.start(&program, &["allow"]);
    talk.expect(&["ready"]);
    for (words, code) in [(&["network"][..], 1), (&["wake"], 1), (&["dark-wake"], 1), (&["something else"], 64)] {
        let told = mac.told(&program, words);
        assert_eq!(told.status.code(), Some(code), "{words:?}: {told:?}");
    }
    talk.end();
}

#[test]
fn a_word_may_be_for_one_process_and_without_a_name_is_for_all() {
    let Some(program) = Program::named("power") else { return };
    let mac = Mac::new();
    let mut talks = [mac.start(&program, &["allow"]), mac.start(&program, &["allow"])];
    talks.iter_mut().for_each(|talk| talk.expect(&["ready"]));
    let processes = mac.told(&program, &["processes"]).stdout;
    let one = processes.lines().next().expect("a process");
    let told = mac.told(&program, &["--process", one, "can-sleep"]);
    assert_eq!(told.stdout, format!("{one} allowed\n"), "{told:?}");
    let told = mac.told(&program, &["can-sleep"]);
    assert_eq!(told.stdout.lines().count(), 2, "{told:?}");
    talks.into_iter().for_each(crate::mac::Talk::end);
}
