//! What clients do to the control socket, and that the next one is served all the same.

use std::path::PathBuf;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;

use super::*;
use crate::ipc;

/// Answers `list targets` at once, `rescan` when the gate opens, `list sessions` when its client has gone.
struct Scripted {
    gate: Semaphore,
    done: Semaphore,
}

impl Answer for Scripted {
    async fn answer(self: Arc<Self>, request: Request, progress: Progress) -> Result<Reply, Failure> {
        match request {
            Request::ListTargets => Ok(Reply::Targets(Vec::new())),
            Request::Rescan { .. } => {
                progress.say("looking");
                self.gate.acquire().await.expect("open").forget();
                self.done.add_permits(1);
                Ok(Reply::Done(Vec::new()))
            }
            Request::ListSessions => {
                progress.say("looking");
                progress.gone().await;
                self.done.add_permits(1);
                Ok(Reply::Sessions(Vec::new()))
            }
            Request::ListLuns => panic!("a bug"),
            Request::Discover { portal, .. } if portal == "long" => {
                Ok(Reply::Discovered { targets: long_list(), remarks: Vec::new() })
            }
            Request::Discover { portal, .. } if portal == "huge" => Ok(Reply::Done(vec!["x".repeat(MAX_FRAME)])),
            other => Err(Failure::new(ExitCode::Internal, format!("{other:?}"))),
        }
    }
}

struct Server {
    path: PathBuf,
    answer: Arc<Scripted>,
    _directory: tempfile::TempDir,
}

fn server() -> Server {
    let directory = tempfile::tempdir().expect("a scratch directory");
    let path = directory.path().join("control.sock");
    let listener = UnixListener::bind(&path).expect("a socket");
    let answer = Arc::new(Scripted { gate: Semaphore::new(0), done: Semaphore::new(0) });
    tokio::spawn(serve(listener, 256, answer.clone(), CancellationToken::new()));
    Server { path, answer, _directory: directory }
}

fn frame(json: &impl serde::Serialize) -> Vec<u8> {
    let json = serde_json::to_vec(json).expect("JSON");
    let mut frame = (json.len() as u32).to_be_bytes().to_vec();
    frame.extend(json);
    frame
}

async fn next(stream: &mut UnixStream) -> Frame {
    let mut json = vec![0; stream.read_u32().await.expect("a length") as usize];
    stream.read_exact(&mut json).await.expect("a frame");
    serde_json::from_slice(&json).expect("a frame's JSON")
}

impl Server {
    async fn connect(&self) -> UnixStream {
        UnixStream::connect(&self.path).await.expect("a connection")
    }

    async fn greet(&self) -> UnixStream {
        let mut stream = self.connect().await;
        stream.write_all(&frame(&Hello { version: VERSION })).await.expect("written");
        stream
    }

    async fn ask(&self, request: &Request) -> Frame {
        let mut stream = self.greet().await;
        stream.write_all(&frame(request)).await.expect("written");
        next(&mut stream).await
    }

    async fn still_serves(&self) {
        assert_eq!(self.ask(&Request::ListTargets).await, Frame::Reply(Ok(Reply::Targets(Vec::new()))));
    }
}

async fn is_closed(stream: &mut UnixStream) -> bool {
    let mut rest = Vec::new();
    matches!(stream.read_to_end(&mut rest).await, Ok(0) | Err(_))
}

#[tokio::test]
async fn many_requests_go_over_one_connection() {
    let server = server();
    let mut stream = server.greet().await;
    for _ in 0..3 {
        stream.write_all(&frame(&Request::ListTargets)).await.expect("written");
        assert_eq!(next(&mut stream).await, Frame::Reply(Ok(Reply::Targets(Vec::new()))));
    }
}

#[tokio::test]
async fn another_version_is_told_so() {
    let server = server();
    let mut stream = server.connect().await;
    stream.write_all(&frame(&Hello { version: VERSION + 1 })).await.expect("written");
    let Frame::Reply(Err(failure)) = next(&mut stream).await else { panic!("no refusal") };
    assert_eq!(failure.code, ExitCode::Protocol);
    assert!(failure.to_string().contains("the iscsid that runs is the older one: restart iscsid"), "{failure}");
}

// check: other-version-which
#[tokio::test]
async fn an_older_command_is_told_that_it_is_the_older_one() {
    let server = server();
    let mut stream = server.connect().await;
    stream.write_all(&frame(&Hello { version: VERSION - 1 })).await.expect("written");
    let Frame::Reply(Err(failure)) = next(&mut stream).await else { panic!("no refusal") };
    assert_eq!(failure.code, ExitCode::Protocol);
    assert!(failure.to_string().contains("this iscsictl is the older one"), "{failure}");
    assert!(!failure.to_string().contains("restart"), "{failure}");
}

/// As many as a list of 4000 targets with long names has: more than three frames.
fn long_list() -> Vec<ipc::Discovered> {
    let found = |number: usize| ipc::Discovered {
        name: format!("iqn.2026-11.org.example:{number:0>195}"),
        portals: vec!["[2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff]:3260,1".to_owned(); 12],
    };
    (0..4000).map(found).collect()
}

// check: long-lists-come
#[tokio::test]
async fn a_list_that_is_too_long_for_a_frame_comes_in_several() {
    let server = server();
    let mut stream = server.greet().await;
    let request = Request::Discover { portal: "long".into(), interface: None, add: false };
    stream.write_all(&frame(&request)).await.expect("written");
    let mut frames = 1;
    let mut whole: Option<Reply> = None;
    let reply = loop {
        let (part, last) = match next(&mut stream).await {
            Frame::Part(part) => (part, false),
            Frame::Reply(reply) => (reply.expect("a list"), true),
            other => panic!("{other:?}"),
        };
        let next = match whole.take() {
            None => part,
            Some(mut whole) => {
                assert!(whole.append(part));
                whole
            }
        };
        if last {
            break next;
        }
        whole = Some(next);
        frames += 1;
    };
    assert!(frames > 3, "{frames}");
    assert_eq!(reply, Reply::Discovered { targets: long_list(), remarks: Vec::new() });
    // The connection is at the next request, not in the middle of something.
    stream.write_all(&frame(&Request::ListTargets)).await.expect("written");
    assert_eq!(next(&mut stream).await, Frame::Reply(Ok(Reply::Targets(Vec::new()))));
}

#[tokio::test]
async fn an_item_that_is_longer_than_a_frame_is_refused_in_a_sentence() {
    let server = server();
    let mut stream = server.greet().await;
    let request = Request::Discover { portal: "huge".into(), interface: None, add: false };
    stream.write_all(&frame(&request)).await.expect("written");
    let Frame::Reply(Err(failure)) = next(&mut stream).await else { panic!("no refusal") };
    assert!(failure.to_string().contains("too long for a frame"), "{failure}");
    server.still_serves().await;
}

#[tokio::test]
async fn garbage_costs_only_its_own_connection() {
    let server = server();
    let mut stream = server.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.expect("written");
    assert!(is_closed(&mut stream).await);
    server.still_serves().await;
}

#[tokio::test]
async fn a_request_that_is_none_is_refused() {
    let server = server();
    let mut stream = server.greet().await;
    stream.write_all(&frame(&"make me a sandwich")).await.expect("written");
    let Frame::Reply(Err(failure)) = next(&mut stream).await else { panic!("no refusal") };
    assert_eq!(failure.code, ExitCode::Protocol);
    assert!(is_closed(&mut stream).await);
}

#[tokio::test]
async fn a_huge_frame_is_refused_by_its_length_alone() {
    let server = server();
    let mut stream = server.greet().await;
    stream.write_all(&u32::MAX.to_be_bytes()).await.expect("written");
    assert!(is_closed(&mut stream).await);
    server.still_serves().await;
}

#[tokio::test(start_paused = true)]
async fn half_a_frame_that_stays_half_is_not_waited_for() {
    let server = server();
    let mut stream = server.greet().await;
    let whole = frame(&Request::ListTargets);
    stream.write_all(&whole[..whole.len() / 2]).await.expect("written");
    server.still_serves().await;
    let before = tokio::time::Instant::now();
    assert!(is_closed(&mut stream).await);
    assert!(before.elapsed() <= PATIENCE + Duration::from_secs(1));
}

#[tokio::test]
async fn three_hundred_idle_clients_do_not_keep_the_next_one_out() {
    // Both ends are this process's; a Mac's may have 256 descriptors open unless it asks for more.
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("its limits");
    setrlimit(Resource::RLIMIT_NOFILE, soft.max(1024).min(hard), hard).expect("more, as the hard limit allows");
    let server = server();
    let mut crowd = Vec::new();
    for _ in 0..300 {
        crowd.push(server.connect().await);
    }
    server.still_serves().await;
    assert!(is_closed(&mut crowd[0]).await, "the one that was idle longest had to leave");
}

#[tokio::test]
async fn a_request_runs_to_its_end_though_its_client_leaves() {
    let server = server();
    let mut stream = server.greet().await;
    stream.write_all(&frame(&Request::Rescan { target: None })).await.expect("written");
    assert_eq!(next(&mut stream).await, Frame::Progress("looking".into()));
    drop(stream);
    server.answer.gate.add_permits(1);
    server.answer.done.acquire().await.expect("it came to its end").forget();
    server.still_serves().await;
}

#[tokio::test]
async fn a_request_knows_when_its_client_leaves() {
    let server = server();
    let mut stream = server.greet().await;
    stream.write_all(&frame(&Request::ListSessions)).await.expect("written");
    assert_eq!(next(&mut stream).await, Frame::Progress("looking".into()));
    assert_eq!(server.answer.done.available_permits(), 0);
    drop(stream);
    server.answer.done.acquire().await.expect("it came to its end").forget();
}

#[tokio::test]
async fn what_a_client_asks_before_it_was_answered_is_answered_next() {
    let server = server();
    let mut stream = server.greet().await;
    let both = [frame(&Request::Rescan { target: None }), frame(&Request::ListTargets)].concat();
    stream.write_all(&both).await.expect("written");
    assert_eq!(next(&mut stream).await, Frame::Progress("looking".into()));
    server.answer.gate.add_permits(1);
    assert_eq!(next(&mut stream).await, Frame::Reply(Ok(Reply::Done(Vec::new()))));
    assert_eq!(next(&mut stream).await, Frame::Reply(Ok(Reply::Targets(Vec::new()))));
}

#[tokio::test]
async fn a_client_that_says_no_more_is_answered_all_the_same() {
    let server = server();
    let mut stream = server.greet().await;
    stream.write_all(&frame(&Request::Rescan { target: None })).await.expect("written");
    stream.shutdown().await.expect("half closed");
    assert_eq!(next(&mut stream).await, Frame::Progress("looking".into()));
    server.answer.gate.add_permits(1);
    assert_eq!(next(&mut stream).await, Frame::Reply(Ok(Reply::Done(Vec::new()))));
}

#[tokio::test]
async fn a_panic_is_answered_as_a_bug() {
    let server = server();
    let Frame::Reply(Err(failure)) = server.ask(&Request::ListLuns).await else { panic!("no failure") };
    assert_eq!(failure.code, ExitCode::Internal);
    server.still_serves().await;
}
