//! Through NBD, as a virtual machine or a copying program has it: fio on our daemon, and on qemu-nbd with its
//! iSCSI driver. The processor time is that of the server.

use std::io::Read;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::shape::Shape;
use super::{Measured, Run, target};

const ISCSID: &str = env!("CARGO_BIN_EXE_iscsid");

/// How long a server may take to be there.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server of the target's unit 0.
pub(crate) struct Server {
    process: Child,
    uri: String,
    _home: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.process.id() as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("our own process");
        self.process.wait().expect("its end");
    }
}

impl Server {
    /// Our daemon, logged in.
    pub(crate) fn ours(address: SocketAddr) -> Server {
        let home = tempfile::tempdir().expect("a directory");
        let (config, run) = (home.path().join("iscsid.plist"), home.path().join("run"));
        let command = |words: &[&str]| {
            let mut command = Command::new(ISCSID);
            command.env("ISCSID_CONFIG", &config).env("ISCSID_RUNTIME_DIR", &run).args(words).stdin(Stdio::null());
            command
        };
        let process = command(&[]).env("ISCSID_LOG", "warn").spawn().expect("the daemon");
        let ctl = |words: &[&str]| command(&["ctl"]).args(words).output().expect("the command line").status.success();
        eventually("the daemon", || ctl(&["show", "initiator"]));
        assert!(ctl(&["add", "target", target::NAME, "--portal", &address.to_string()]), "a target");
        assert!(ctl(&["modify", "target", target::NAME, "--attach", "no"]), "no disk of the system's");
        assert!(ctl(&["login", target::NAME]), "a login");
        let uri = format!("nbd+unix:///{}/0?socket={}", target::NAME, run.join("nbd.sock").display());
        Server { process, uri, _home: home }
    }

    /// qemu-nbd; where there is none that knows iSCSI, why.
    pub(crate) fn qemu(address: SocketAddr) -> Result<Server, String> {
        let home = tempfile::tempdir().expect("a directory");
        let socket = home.path().join("nbd.sock");
        let mut process = Command::new("qemu-nbd")
            .args(["--persistent", "--format=raw", "--cache=none", "--socket"])
            .arg(&socket)
            .arg(format!("iscsi://{address}/{}/0", target::NAME))
            .stdin(Stdio::null())
            .spawn()
            .map_err(|error| format!("qemu-nbd does not run ({error}; Debian: qemu-utils)"))?;
        let started = Instant::now();
        // The socket may be there before qemu-nbd finds out that it cannot open the unit.
        while !greets(&socket) {
            if process.try_wait().expect("its state").is_some() {
                return Err("qemu-nbd has no iSCSI here (Debian: qemu-block-extra of its version)".into());
            }
            assert!(started.elapsed() < PATIENCE, "qemu-nbd listens");
            std::thread::yield_now();
        }
        let uri = format!("nbd+unix:///?socket={}", socket.display());
        Ok(Server { process, uri, _home: home })
    }

    /// fio's load.
    pub(crate) fn run(&self, shape: &Shape, span: Duration) -> Measured {
        let before = self.cpu_time();
        let output = Command::new("fio")
            .args(["--name=load", "--ioengine=nbd", "--output-format=json", "--time_based", "--size=100%"])
            .args([&format!("--uri={}", self.uri), &format!("--iodepth={}", shape.depth)])
            .args([&format!("--bs={}", shape.bytes), &format!("--runtime={}ms", span.as_millis())])
            .arg(if shape.write { "--rw=write" } else { "--rw=read" })
            .output()
            .map_err(|error| format!("fio does not run ({error})"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let report: Option<Value> = text.find('{').and_then(|at| serde_json::from_str(&text[at..]).ok());
        let figures = report.as_ref().map(|report| &report["jobs"][0][if shape.write { "write" } else { "read" }]);
        let number = |key| figures.and_then(|figures| figures[key].as_f64());
        let (Some(done), Some(millis)) = (number("total_ios"), number("runtime")) else {
            panic!("fio: {text}{}", String::from_utf8_lossy(&output.stderr));
        };
        if done == 0.0 {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("fio did nothing: {}", said.lines().next().unwrap_or_default()));
        }
        Ok(Run { done, seconds: millis / 1e3, cpu: self.cpu_time() - before, calls: None })
    }

    /// The server's user and system time so far, in seconds (proc(5): fields 14 and 15 of stat).
    fn cpu_time(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).expect("its statistics");
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        let ticks: f64 = [11, 12].iter().filter_map(|&field| fields.get(field)?.parse::<f64>().ok()).sum();
        // USER_HZ, which is 100 wherever Linux runs these benchmarks.
        ticks / 100.0
    }
}

/// Whether a server of NBD says so.
fn greets(socket: &Path) -> bool {
    let mut magic = [0; 8];
    UnixStream::connect(socket).and_then(|mut stream| stream.read_exact(&mut magic)).is_ok() && magic == *b"NBDMAGIC"
}

fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is() {
        assert!(started.elapsed() < PATIENCE, "{what} is not there");
        std::thread::yield_now();
    }
}
