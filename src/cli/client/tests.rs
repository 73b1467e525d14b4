//! The client against a daemon that follows a script.

use std::os::unix::net::UnixListener;
use std::thread::{self, JoinHandle};

use tempfile::TempDir;

use super::*;
use crate::testing::skip;

/// A daemon that takes one connection and hands it to the script.
struct Daemon {
    directory: TempDir,
    thread: JoinHandle<()>,
}

impl Daemon {
    fn new(script: impl FnOnce(&mut UnixStream) + Send + 'static) -> Daemon {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let listener = UnixListener::bind(directory.path().join("control.sock")).expect("a socket");
        let thread = thread::spawn(move || script(&mut listener.accept().expect("a client").0));
        Daemon { directory, thread }
    }

    /// What the client gets for `ListTargets`, and what was said meanwhile.
    fn asked(self) -> (Result<Reply, Failure>, Vec<Meanwhile>) {
        let mut said = Vec::new();
        let mut client = Client::connect(&[self.directory.path().to_owned()]).expect("connected");
        let reply = client.ask(&Request::ListTargets, &mut |meanwhile| said.push(meanwhile));
        drop(client);
        self.thread.join().expect("the script went through");
        (reply, said)
    }
}

fn read_frame(stream: &mut UnixStream) -> Vec<u8> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).expect("a length");
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut frame).expect("a frame");
    frame
}

fn write_frame(stream: &mut UnixStream, frame: &[u8]) {
    stream.write_all(&(frame.len() as u32).to_be_bytes()).expect("sent");
    stream.write_all(frame).expect("sent");
}

fn send(stream: &mut UnixStream, frame: &Frame) {
    write_frame(stream, &serde_json::to_vec(frame).expect("JSON"));
}

#[test]
fn says_its_version_first_then_asks_and_hears_progress_and_the_reply() {
    let daemon = Daemon::new(|stream| {
        assert_eq!(read_frame(stream), format!(r#"{{"version":{VERSION}}}"#).into_bytes());
        assert_eq!(read_frame(stream), br#""ListTargets""#);
        send(stream, &Frame::Progress("asking".into()));
        send(stream, &Frame::Reply(Ok(Reply::Targets(vec![]))));
    });
    let (reply, said) = daemon.asked();
    assert_eq!(reply, Ok(Reply::Targets(vec![])));
    assert_eq!(said, [Meanwhile::Sentence("asking".into())]);
}

#[test]
fn a_reply_may_come_in_pieces() {
    let daemon = Daemon::new(|stream| {
        read_frame(stream);
        read_frame(stream);
        let json = serde_json::to_vec(&Frame::Reply(Ok(Reply::Done(vec!["done".into()])))).expect("JSON");
        for byte in [&(json.len() as u32).to_be_bytes()[..], &json].concat() {
            stream.write_all(&[byte]).expect("sent");
        }
    });
    assert_eq!(daemon.asked().0, Ok(Reply::Done(vec!["done".into()])));
}

#[test]
fn a_list_may_come_in_parts_and_parts_of_different_answers_are_garbage() {
    let daemon = Daemon::new(|stream| {
        read_frame(stream);
        read_frame(stream);
        for part in ["a", "b"] {
            send(stream, &Frame::Part(Reply::Done(vec![part.into()])));
        }
        send(stream, &Frame::Reply(Ok(Reply::Done(vec!["c".into()]))));
    });
    assert_eq!(daemon.asked().0, Ok(Reply::Done(vec!["a".into(), "b".into(), "c".into()])));
    let daemon = Daemon::new(|stream| {
        read_frame(stream);
        read_frame(stream);
        send(stream, &Frame::Part(Reply::Done(vec!["a".into()])));
        send(stream, &Frame::Reply(Ok(Reply::Targets(vec![]))));
    });
    assert_eq!(daemon.asked().0.expect_err("garbage").code, ExitCode::Protocol);
}

#[test]
fn without_a_daemon_it_says_how_to_start_one() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let failure = Client::connect(&[directory.path().to_owned()]).expect_err("nobody is there");
    assert_eq!(failure.code, ExitCode::Unavailable);
    assert!(
        failure.to_string().contains("iscsid is not running") && failure.to_string().contains("start it"),
        "{failure}"
    );

    // A socket that a dead daemon left behind is the same.
    drop(UnixListener::bind(directory.path().join("control.sock")).expect("a socket"));
    let failure = Client::connect(&[directory.path().to_owned()]).expect_err("nobody listens");
    assert_eq!(failure.code, ExitCode::Unavailable);
    assert!(failure.to_string().contains("iscsid is not running"), "{failure}");
}

// check: client-full-backlog
#[test]
fn a_refusal_is_not_believed_at_once_where_a_full_listener_refuses() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let socket = directory.path().join("control.sock");
    drop(UnixListener::bind(&socket).expect("a socket"));
    let refused = connect(&socket, Duration::ZERO).expect_err("nobody listens");
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    thread::scope(|scope| {
        let client = scope.spawn(|| connect(&socket, Duration::from_secs(60)));
        // The name changes hands at once: to the client, who listens refuses or does not.
        let new = directory.path().join("new");
        let listener = UnixListener::bind(&new).expect("a socket");
        std::fs::rename(&new, &socket).expect("it is taken over");
        listener.accept().expect("the client");
        client.join().expect("no panic").expect("connected");
    });
}

#[test]
fn the_first_runtime_directory_with_a_daemon_is_taken() {
    let empty = tempfile::tempdir().expect("a temporary directory");
    let daemon = Daemon::new(|stream| {
        read_frame(stream);
    });
    let places = [empty.path().to_owned(), daemon.directory.path().to_owned()];
    let client = Client::connect(&places).expect("the second one");
    let note = client.note().expect("it is not the first one");
    for place in &places {
        assert!(note.contains(&place.join("control.sock").display().to_string()), "{note}");
    }
    drop(client);
    daemon.thread.join().expect("the script went through");
}

#[test]
fn a_daemon_of_another_version_is_heard_although_it_hangs_up_at_once() {
    let refusal = Failure::new(ExitCode::Protocol, "this command speaks version 1: restart iscsid");
    let sent = refusal.clone();
    let daemon = Daemon::new(move |stream| {
        read_frame(stream);
        send(stream, &Frame::Reply(Err(sent)));
    });
    assert_eq!(daemon.asked().0, Err(refusal));
}

#[test]
fn garbage_is_told_from_an_answer() {
    for garbage in [&b"SSH-2.0-OpenSSH_9.9\r\n"[..], b"\0\0\0\x04null", b"\0\0\0\x02{}"] {
        let daemon = Daemon::new(move |stream| {
            read_frame(stream);
            read_frame(stream);
            stream.write_all(garbage).expect("sent");
        });
        let failure = daemon.asked().0.expect_err("that is no answer");
        assert_eq!(failure.code, ExitCode::Protocol, "{failure}");
        assert!(failure.to_string().contains("does not speak iscsid's language"), "{failure}");
    }
}

#[test]
fn a_daemon_that_dies_midway_is_told_so() {
    let reply = serde_json::to_vec(&Frame::Reply(Ok(Reply::Targets(vec![])))).expect("JSON");
    let whole = [&(reply.len() as u32).to_be_bytes()[..], &reply].concat();
    for length in [0, 3, 4, whole.len() - 1] {
        let part = whole[..length].to_vec();
        let daemon = Daemon::new(move |stream| {
            read_frame(stream);
            read_frame(stream);
            stream.write_all(&part).expect("sent");
        });
        let failure = daemon.asked().0.expect_err("cut off");
        assert_eq!(failure.code, ExitCode::Unavailable);
        assert!(failure.to_string().contains("went away before it answered"), "{failure}");
    }
}

#[test]
fn a_stranger_s_runtime_directory_is_told_nothing() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let listener = UnixListener::bind(directory.path().join("control.sock")).expect("a socket");
    listener.set_nonblocking(true).expect("a listener that does not wait");
    if let Err(error) = std::os::unix::fs::chown(directory.path(), Some(65_534), None) {
        skip(&format!("only root can make a directory a stranger's ({error})"));
        return;
    }
    let failure = Client::connect(&[directory.path().to_owned()]).expect_err("not trusted");
    assert_eq!(failure.code, ExitCode::NotPermitted);
    assert!(failure.to_string().contains("belongs to user 65534"), "{failure}");
    assert_eq!(listener.accept().expect_err("nobody came").kind(), io::ErrorKind::WouldBlock);
}

// check: client-directory-of-everybody
#[test]
fn a_directory_that_everybody_may_write_to_is_told_nothing() {
    use std::os::unix::fs::PermissionsExt;

    let directory = tempfile::tempdir().expect("a temporary directory");
    let listener = UnixListener::bind(directory.path().join("control.sock")).expect("a socket");
    listener.set_nonblocking(true).expect("a listener that does not wait");
    for mode in [0o777, 0o1777, 0o720] {
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(mode)).expect("it is ours");
        let failure = Client::connect(&[directory.path().to_owned()]).expect_err("not trusted");
        assert_eq!(failure.code, ExitCode::NotPermitted);
        assert!(failure.to_string().contains("others may write"), "{failure}");
    }
    assert_eq!(listener.accept().expect_err("nobody came").kind(), io::ErrorKind::WouldBlock);
}

/// Listens at the path it is given until its standard input ends.
const STRANGER: &str = r#"
    use Socket;
    $| = 1;
    socket(my $here, PF_UNIX, SOCK_STREAM, 0) or die $!;
    bind($here, sockaddr_un($ARGV[0])) or die $!;
    listen($here, 5) or die $!;
    print "up\n";
    <STDIN>;
"#;

// check: client-server-of-a-stranger
#[test]
fn a_stranger_who_listens_in_a_directory_of_ours_is_told_nothing() {
    use std::io::BufRead;
    use std::os::unix::fs::PermissionsExt;
    use std::process::{Command, Stdio};

    if !nix::unistd::geteuid().is_root() {
        skip("only root can become another user");
        return;
    }
    if !crate::testing::need(&["perl", "setpriv"]) {
        return;
    }
    // A Mac's user has a place for temporary files where nobody else gets in.
    let scratch = tempfile::tempdir_in("/tmp").expect("a temporary directory");
    let (theirs, ours) = (scratch.path().join("theirs"), scratch.path().join("ours"));
    for (directory, mode) in [(scratch.path(), 0o755), (&theirs, 0o777), (&ours, 0o755)] {
        std::fs::create_dir_all(directory).expect("a directory");
        std::fs::set_permissions(directory, std::fs::Permissions::from_mode(mode)).expect("it is ours");
    }
    let mut stranger = Command::new("setpriv");
    stranger.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "/usr/bin/perl", "-e", STRANGER]);
    stranger.arg(theirs.join("control.sock")).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut stranger = stranger.spawn().expect("another user's process");
    let mut up = String::new();
    io::BufReader::new(stranger.stdout.take().expect("a pipe")).read_line(&mut up).expect("a line");
    assert_eq!(up, "up\n");
    std::fs::rename(theirs.join("control.sock"), ours.join("control.sock")).expect("its socket");
    let failure = Client::connect(&[ours]).expect_err("not trusted");
    drop(stranger.stdin.take());
    stranger.wait().expect("its end");
    assert_eq!(failure.code, ExitCode::NotPermitted);
    assert!(failure.to_string().contains("runs as user 65534"), "{failure}");
}

#[test]
fn a_request_that_the_daemon_would_not_read_is_not_sent() {
    let (ours, theirs) = UnixStream::pair().expect("a socket pair");
    let mut client = Client { stream: ours, socket: "control.sock".into(), instead: None };
    // As JSON it has two quotes more.
    let refused = client.send(&"x".repeat(MAX_REQUEST - 1)).expect_err("a frame that is too long");
    assert_eq!(refused.code, ExitCode::Usage);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| std::io::copy(&mut &theirs, &mut std::io::sink()).expect("what was sent"));
        client.send(&"x".repeat(MAX_REQUEST - 2)).expect("the longest frame");
        drop(client);
        assert_eq!(reader.join().expect("a reader"), 4 + MAX_REQUEST as u64, "and nothing of the other one");
    });
}
