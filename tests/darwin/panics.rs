use nix::sys::signal::Signal;

use crate::machrun::Program;

#[test]
fn a_panic_unwinds_through_every_frame_and_is_caught() {
    let Some(program) = Program::named("panics") else { return };
    assert_eq!(program.says(&["caught"]), "dropped a frame in a panic\n".repeat(3) + "true\n");
}

#[test]
fn a_panic_gives_the_registers_back_that_the_catcher_keeps_things_in() {
    let Some(program) = Program::named("panics") else { return };
    let said = program.says(&["registers"]);
    let (mut a, mut b) = (0x0123_4567_89ab_u64, 0x0123_4567_89ab_u64 * 3);
    let (mut c, mut d, mut e) = (0x0123_4567_89ab_u64 * 5, 0x0123_4567_89ab_u64 * 7, 0x0123_4567_89ab_u64 * 11);
    for _ in 0..4 {
        a += 1;
        b ^= a << 1;
        c = c.wrapping_mul(b | 1);
        d = d.rotate_left(3) ^ c;
        e = e.wrapping_add(d);
    }
    assert_eq!(said.lines().last(), Some(format!("{:#x}", a ^ b ^ c ^ d ^ e).as_str()), "{said}");
}

#[test]
fn a_thread_that_panics_ends_alone() {
    let Some(program) = Program::named("panics") else { return };
    let said = program.says(&["threads"]);
    assert_eq!(said.lines().last(), Some("[true, false, true, false, true, false, true, false]"), "{said}");
    // 0, 2, 4 and 6 deep, each with a frame more.
    assert_eq!(said.matches("dropped a frame in a panic").count(), 16, "{said}");
}

#[test]
fn a_panic_passes_the_frames_of_a_library_that_called_back() {
    let Some(program) = Program::named("panics") else { return };
    assert_eq!(program.says(&["library"]), "dropped what was called back in a panic\ntrue\n");
}

#[test]
fn what_a_panic_carries_arrives_after_it_is_resumed() {
    let Some(program) = Program::named("panics") else { return };
    assert_eq!(program.says(&["payload"]), "Some(42)\n");
}

#[test]
fn a_panic_in_a_panic_aborts() {
    let Some(program) = Program::named("panics") else { return };
    let ended = program.run(&["twice"]);
    assert_eq!(ended.signal(), Some(Signal::SIGABRT), "{ended:?}");
    assert!(ended.stderr.contains("while it panics"), "{ended:?}");
}

#[test]
fn a_panic_that_nobody_catches_is_told_and_ends_with_101() {
    let Some(program) = Program::named("panics") else { return };
    let ended = program.run(&[]);
    assert_eq!(ended.status.code(), Some(101), "{ended:?}");
    assert!(ended.stderr.contains("the deepest"), "{ended:?}");
}

#[test]
fn a_backtrace_has_the_names_of_the_functions() {
    let Some(program) = Program::named("panics") else { return };
    let said = program.says(&["backtrace"]);
    let places = ["panics::named_by_the_backtrace", "panics::main"].map(|name| said.find(name));
    assert!(places.is_sorted() && places.iter().all(Option::is_some), "{said}");
}
