//! The target to practise on, as the acceptance script for Macs uses it.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use iscsi_proto::keys::Offer;
use iscsid::block::{Op, run};
use iscsid::selftest::lab::Lab;
use serde_json::Value;

use crate::program;

struct Target {
    child: Child,
    words: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Target {
    fn start(options: &[&str]) -> Target {
        let mut child = Command::new(program::under_test())
            .args(["ctl", "practice-target"])
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("iscsid runs");
        let words = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("its output"));
        Target { child, words, answers }
    }

    fn answer(&mut self) -> Value {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("a line");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    fn ask(&mut self, word: &str) -> Value {
        writeln!(self.words.as_mut().expect("its input"), "{word}").expect("it reads");
        self.answer()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.words = None;
        let ended = self.child.wait();
        assert!(std::thread::panicking() || ended.is_ok_and(|status| status.success()), "it ends with its input");
    }
}

#[tokio::test]
async fn it_counts_what_reaches_it_and_says_what_a_power_cut_would_lose() {
    let mut target = Target::start(&["--mebibytes", "8", "--block-size", "4096"]);
    let start = target.answer();
    assert_eq!(start["target"], iscsid::selftest::practice_target::TARGET);
    let portal = start["portal"].as_str().and_then(|portal| portal.parse().ok()).expect("an address");
    let lab = Lab::log_in(iscsid::selftest::practice_target::TARGET, portal, &Offer::default(), None)
        .await
        .map_err(|f| f.to_string())
        .expect("a login");
    let disk = lab.disk().expect("a disk");
    assert_eq!((disk.geometry().blocks, disk.geometry().block_size), (2048, 4096));

    let before = target.ask("counts");
    assert_eq!(before["connections"], 1);
    let mut buffer = disk.pool().get(4096).await;
    buffer.fill(7);
    run(&*disk, Op::Write { fua: false }, 1, 1, Some(buffer)).await.expect("a write");
    let written = target.ask("counts");
    let bytes = |counts: &Value| counts["write_bytes"].as_u64().expect("a number");
    assert_eq!(bytes(&written), bytes(&before) + 4096);
    let marker = format!("holds {}", "07".repeat(32));
    assert_eq!(target.ask(&marker), serde_json::json!({ "holds": true, "stable": false }));
    assert_eq!(target.ask("holds 0807")["holds"], false);
    assert_eq!(written["volatile_bytes"], 4096);
    assert_eq!(written["writes"].as_u64(), before["writes"].as_u64().map(|writes| writes + 1));

    run(&*disk, Op::Flush, 0, 0, None).await.expect("a flush");
    let flushed = target.ask("counts");
    assert_eq!(flushed["volatile_bytes"], 0);
    assert_eq!(flushed["synchronize_cache"].as_u64(), written["synchronize_cache"].as_u64().map(|count| count + 1));
    assert_eq!(target.ask(&marker), serde_json::json!({ "holds": true, "stable": true }));
    assert_eq!(flushed["violations"], Value::Array(Vec::new()));
    for wrong in ["anything", "holds", "holds 0", "holds 0x", "holds +7", &format!("holds {}", "07".repeat(513))] {
        assert!(target.ask(wrong)["said"].as_str().is_some_and(|said| said.starts_with("say counts")), "{wrong}");
    }

    drop(disk);
    lab.log_out().await.map_err(|failure| failure.to_string()).expect("a logout");
}

#[test]
fn a_wrong_block_is_refused() {
    let out = Command::new(program::under_test()).args(["ctl", "practice-target", "--block-size", "520"]).output();
    let out = out.expect("iscsid runs");
    assert_eq!(out.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&out.stderr).contains("say 512 or 4096"));
}
