//! Programs that a program starts, and what is said of how they ended.

use std::ffi::{CString, c_char, c_int, c_void};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::{env, fs, ptr};

unsafe extern "C" {
    fn fork() -> c_int;
    fn _exit(code: c_int) -> !;
    fn getpid() -> c_int;
    fn kill(pid: c_int, signal: c_int) -> c_int;
    fn raise(signal: c_int) -> c_int;
    fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
    fn wait4(pid: c_int, status: *mut c_int, options: c_int, usage: *mut Usage) -> c_int;
    fn waitid(kind: c_int, id: u32, info: *mut Info, options: c_int) -> c_int;
    fn getrusage(who: c_int, usage: *mut Usage) -> c_int;
    fn posix_spawn_file_actions_init(actions: *mut *mut c_void) -> c_int;
    fn posix_spawn_file_actions_adddup2(actions: *mut *mut c_void, from: c_int, to: c_int) -> c_int;
    fn posix_spawn_file_actions_addinherit_np(actions: *mut *mut c_void, fd: c_int) -> c_int;
    fn posix_spawnattr_init(attributes: *mut *mut c_void) -> c_int;
    fn posix_spawnattr_setflags(attributes: *mut *mut c_void, flags: i16) -> c_int;
    fn posix_spawnattr_destroy(attributes: *mut *mut c_void) -> c_int;
    fn dup2(from: c_int, to: c_int) -> c_int;
    fn posix_spawn_file_actions_destroy(actions: *mut *mut c_void) -> c_int;
    fn posix_spawn(
        pid: *mut c_int,
        path: *const c_char,
        actions: *const *mut c_void,
        attributes: *const *mut c_void,
        words: *const *const c_char,
        environment: *const *const c_char,
    ) -> c_int;
    fn setgroups(count: c_int, groups: *const u32) -> c_int;
    fn getpriority(which: c_int, who: u32) -> c_int;
}

/// `struct rusage` of macOS, as far as it matters.
#[repr(C)]
#[derive(Default, Clone, Copy)]
struct Usage {
    user: [i64; 2],
    system: [i64; 2],
    most_resident: i64,
    rest: [i64; 13],
}

/// `siginfo_t` of macOS, as far as it matters.
#[repr(C)]
#[derive(Default, Clone, Copy)]
struct Info {
    signo: c_int,
    error: c_int,
    code: c_int,
    pid: c_int,
    user: u32,
    status: c_int,
    rest: [u64; 10],
}

// bsd/sys/signal.h of xnu.
const SIGKILL: c_int = 9;
const SIGSTOP: c_int = 17;
const SIGCONT: c_int = 19;
const SIGCHLD: c_int = 20;
const SIGUSR1: c_int = 30;

const ECHILD: i32 = 10;
const EACCES: i32 = 13;
const EINVAL: i32 = 22;

#[track_caller]
fn fails(result: c_int) -> i32 {
    assert_eq!(result, -1, "it should have failed");
    io::Error::last_os_error().raw_os_error().expect("a number")
}

fn sh(words: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", words]);
    command
}

fn status() {
    assert_eq!(sh("exit 7").status().expect("ran").code(), Some(7));
    let killed = sh("kill -KILL $$").status().expect("ran");
    assert_eq!((killed.code(), killed.signal()), (None, Some(SIGKILL)));
    let user = sh("kill -USR1 $$").status().expect("ran");
    assert_eq!(user.signal(), Some(SIGUSR1), "as Darwin counts them");
    let output = sh("echo out; echo error >&2").output().expect("ran");
    assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b"out\n"[..], &b"error\n"[..]));
}

fn surroundings() {
    let output = sh("pwd -P; echo $WORD").current_dir("/private/var").env("WORD", "told").output().expect("ran");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "/var\ntold\n", "sh is Linux', and where it was started");
    let mut child = sh("read line; ps -o pgid= -p $$")
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("ran");
    drop(child.stdin.take());
    let id = child.id();
    let output = child.wait_with_output().expect("its end");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), id.to_string());
}

fn itself() {
    let me = env::current_exe().expect("a path");
    let output = Command::new(&me).args(["words", "a word", ""]).output().expect("ran");
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).expect("text");
    assert_eq!(said, format!("{:?}\n", [me.to_str().expect("text"), "words", "a word", ""]));
    // exec in its place, found along PATH.
    let folder = me.parent().expect("a folder").to_str().expect("text");
    let name = me.file_name().expect("a name");
    let output = Command::new(&me).args(["exec"]).arg(name).env("PATH", folder).output().expect("ran");
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8(output.stdout).expect("text").ends_with("\"words\", \"told on\"]\n"));
}

/// What is neither a program nor names its own is the shell's.
fn scripts() {
    let script = env::temp_dir().join(format!("script.{}", std::process::id()));
    fs::write(&script, "echo told $1\n").expect("a file");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("ours");
    let spawned = Command::new(&script).arg("words").output().expect("ran");
    assert_eq!(String::from_utf8_lossy(&spawned.stdout), "told words\n", "{spawned:?}");
    let executed = Command::new(env::current_exe().expect("a path")).arg("exec").arg(&script).output().expect("ran");
    assert_eq!(String::from_utf8_lossy(&executed.stdout), "told words\n", "{executed:?}");
    fs::remove_file(script).expect("ours");
}

fn errors() {
    assert_eq!(Command::new("/nowhere/none").spawn().expect_err("none").kind(), ErrorKind::NotFound);
    assert_eq!(Command::new("no-such-program").spawn().expect_err("none").kind(), ErrorKind::NotFound);
    assert_eq!(Command::new("").spawn().expect_err("none").kind(), ErrorKind::NotFound);
    assert_eq!(Command::new("/etc/passwd").spawn().expect_err("no program").raw_os_error(), Some(EACCES));
    assert_eq!(Command::new("/private").spawn().expect_err("a folder").raw_os_error(), Some(EACCES));
    assert_eq!(sh("true").current_dir("/nowhere").spawn().expect_err("none").kind(), ErrorKind::NotFound);
    let mut actions = ptr::null_mut();
    // SAFETY: as spawn.h of macOS has them; a number that no descriptor has.
    unsafe {
        assert_eq!(posix_spawn_file_actions_init(&raw mut actions), 0);
        assert_eq!(posix_spawn_file_actions_adddup2(&raw mut actions, 10_240, 1), 9, "EBADF: OPEN_MAX");
        assert_eq!(posix_spawn_file_actions_destroy(&raw mut actions), 0);
        assert_eq!(posix_spawn_file_actions_destroy(&raw mut actions), EINVAL);
    }
}

fn descriptors() {
    let file = fs::File::open("/etc/passwd").expect("a file");
    let sh = CString::new("/bin/sh").expect("text");
    let words = ["sh", "-c", "[ -e /dev/fd/7 ] && ! [ -e /dev/fd/8 ]"].map(|word| CString::new(word).expect("text"));
    let words: Vec<_> = words.iter().map(|word| word.as_ptr()).chain([ptr::null()]).collect();
    let mut status = 0;
    // SAFETY: as spawn.h of macOS has them.
    unsafe {
        let (mut pid, mut actions) = (0, ptr::null_mut());
        assert_eq!(posix_spawn_file_actions_init(&raw mut actions), 0);
        assert_eq!(posix_spawn_file_actions_adddup2(&raw mut actions, file.as_raw_fd(), 7), 0);
        let rc = posix_spawn(&raw mut pid, sh.as_ptr(), &raw const actions, ptr::null(), words.as_ptr(), ptr::null());
        assert_eq!(rc, 0);
        assert_eq!(waitpid(pid, &raw mut status, 0), pid);
        posix_spawn_file_actions_destroy(&raw mut actions);
    }
    assert_eq!(status, 0);
}

/// POSIX_SPAWN_CLOEXEC_DEFAULT: what no action made is closed, FD_CLOEXEC or not.
fn descriptors_closed_by_default() {
    const POSIX_SPAWN_CLOEXEC_DEFAULT: i16 = 0x4000;
    let sh = CString::new("/bin/sh").expect("text");
    let checks =
        "[ -e /dev/fd/1 ] && [ -e /dev/fd/20 ] && for n in 2 19 21 200; do [ -e /dev/fd/$n ] && exit 1; done; exit 0";
    let words = ["sh", "-c", checks].map(|word| CString::new(word).expect("text"));
    let words: Vec<_> = words.iter().map(|word| word.as_ptr()).chain([ptr::null()]).collect();
    let (mut pid, mut status, mut actions, mut attributes) = (0, -1, ptr::null_mut(), ptr::null_mut());
    // SAFETY: as spawn.h of macOS has them; dup2 leaves copies that a program inherits.
    unsafe {
        for fd in [19, 20, 21, 200] {
            assert_eq!(dup2(1, fd), fd);
        }
        assert_eq!(posix_spawn_file_actions_init(&raw mut actions), 0);
        assert_eq!(posix_spawn_file_actions_addinherit_np(&raw mut actions, 20), 0);
        assert_eq!(posix_spawn_file_actions_adddup2(&raw mut actions, 21, 1), 0);
        assert_eq!(posix_spawnattr_init(&raw mut attributes), 0);
        assert_eq!(posix_spawnattr_setflags(&raw mut attributes, POSIX_SPAWN_CLOEXEC_DEFAULT), 0);
        let rc = posix_spawn(
            &raw mut pid,
            sh.as_ptr(),
            &raw const actions,
            &raw const attributes,
            words.as_ptr(),
            ptr::null(),
        );
        assert_eq!(rc, 0);
        assert_eq!(waitpid(pid, &raw mut status, 0), pid);
        posix_spawn_file_actions_destroy(&raw mut actions);
        posix_spawnattr_destroy(&raw mut attributes);
    }
    assert_eq!(status, 0);
}

fn waiting() {
    const WNOHANG: c_int = 1;
    const WUNTRACED: c_int = 2;
    const WEXITED: c_int = 4;
    const WCONTINUED: c_int = 16;
    const WNOWAIT: c_int = 32;
    let (mut status, mut usage, mut info) = (0, Usage::default(), Info::default());
    // SAFETY: what follows are calls of C with places for their answers.
    unsafe {
        assert_eq!(fails(waitpid(-1, &raw mut status, 0)), ECHILD);
        let child = fork();
        if child == 0 {
            raise(SIGSTOP);
            _exit(3);
        }
        assert_eq!(waitpid(child, &raw mut status, WUNTRACED), child);
        assert_eq!(status, SIGSTOP << 8 | 0o177);
        assert_eq!(waitpid(child, &raw mut status, WNOHANG), 0);
        assert_eq!(fails(waitid(1, child.unsigned_abs(), &raw mut info, 0)), EINVAL);
        assert_eq!(fails(waitid(3, child.unsigned_abs(), &raw mut info, WEXITED)), EINVAL, "no P_PIDFD");
        assert_eq!(waitid(1, child.unsigned_abs(), &raw mut info, WEXITED | WNOHANG), 0);
        assert_eq!((info.signo, info.pid), (0, 0), "nothing yet");
        kill(child, SIGCONT);
        assert_eq!(waitpid(child, &raw mut status, WCONTINUED), child);
        if status == SIGCONT << 8 | 0o177 {
            assert_eq!(waitid(1, child.unsigned_abs(), &raw mut info, WEXITED | WNOWAIT), 0);
            assert_eq!((info.signo, info.pid, info.status, info.code), (SIGCHLD, child, 3, 1));
            assert_eq!(wait4(child, &raw mut status, 0, &raw mut usage), child);
        }
        assert_eq!(status, 3 << 8);
        assert_eq!(getrusage(0, &raw mut usage), 0);
        assert!(usage.most_resident > 1 << 20, "in bytes: {}", usage.most_resident);
        assert_eq!(fails(getrusage(1, &raw mut usage)), EINVAL, "a thread's is Linux' alone");
    }
}

fn belonging() {
    // SAFETY: calls of C.
    unsafe {
        assert_eq!(getpid().unsigned_abs(), std::process::id());
        assert_eq!(fails(setgroups(17, [0; 17].as_ptr())), EINVAL, "sixteen at most");
        assert_eq!(fails(getpriority(9, 0)), EINVAL);
    }
    assert!(Path::new(&env::args().next().expect("a word")).is_absolute());
}

fn main() {
    match env::args().nth(1).as_deref() {
        Some("words") => println!("{:?}", env::args().collect::<Vec<_>>()),
        Some("exec") => {
            let name = env::args().nth(2).expect("a name");
            panic!("{}", Command::new(name).args(["words", "told on"]).exec());
        }
        Some("status") => status(),
        Some("surroundings") => surroundings(),
        Some("itself") => itself(),
        Some("scripts") => scripts(),
        Some("errors") => errors(),
        Some("descriptors") => descriptors(),
        Some("descriptors closed by default") => descriptors_closed_by_default(),
        Some("waiting") => waiting(),
        Some("belonging") => belonging(),
        other => panic!("{other:?}"),
    }
}
