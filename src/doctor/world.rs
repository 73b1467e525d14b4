//! What the doctor looks at: this machine, or a test's.

use std::io;
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::sys::statvfs::statvfs;
use nix::unistd::geteuid;
use socket2::SockRef;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::config::{self, Config, NfsIdentity, Portal, Secrets};
use crate::export::attach::{Lost, lost_disks};
use crate::ipc::{ExitCode, Failure, LostDisk};
use crate::login::connect::{Endpoint, connect};

/// How long a portal may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// How many are asked at the same time.
const AT_A_TIME: usize = 64;

/// An operating system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Os {
    /// macOS.
    Mac,
    /// Linux, or what is like it.
    Linux,
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Whose it is.
    pub owner: u32,
    /// Its permissions, the lower twelve bits.
    pub mode: u32,
    /// Whether it is a socket.
    pub is_socket: bool,
}

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// It is switched on and has a link.
    pub running: bool,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// The longest packet it takes, in bytes, where that is to be had.
    pub mtu: Option<u32>,
}

/// A connection that came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    /// Our end of it.
    pub local: IpAddr,
    /// The longest segment of TCP that the way takes, in bytes, where that is to be had.
    pub segment: Option<u32>,
}

/// A portal that was not reached: how a login would fail, and a clause that says why.
pub(super) type Unreached = (ExitCode, String);

/// Everything outside.
pub trait World {
    /// Which system it is.
    fn os(&self) -> Os;
    /// Who asks.
    fn user(&self) -> u32;
    /// What a file is; links are followed.
    ///
    /// # Errors
    /// The system's.
    fn stat(&self, path: &Path) -> io::Result<Stat>;
    /// How many bytes can still be written there; `None` where there is no such place.
    fn room(&self, path: &Path) -> Option<u64>;
    /// Settings and secrets, `None` where there is no file.
    ///
    /// # Errors
    /// What is wrong with them.
    fn settings(&self, path: &Path) -> Result<Option<(Config, Secrets)>, Failure>;
    /// Whether somebody listens on a socket.
    ///
    /// # Errors
    /// The system's.
    fn knock(&self, socket: &Path) -> io::Result<()>;
    /// Whether there is a program of that name to run.
    fn has_tool(&self, name: &str) -> bool;
    /// What a program prints; `None` where it cannot be run or fails.
    fn output(&self, program: &str, arguments: &[&str]) -> Option<String>;
    /// The port of the loopback address that units are mounted from, where it may be read.
    fn nfs_port(&self, settings: &Path) -> Option<u16>;
    /// Whether somebody listens at that port of the loopback address.
    fn listens(&self, port: u16) -> bool;
    /// Whether a daemon would use that runtime directory.
    ///
    /// # Errors
    /// Why not, and what to do.
    fn way_to(&self, runtime_dir: &Path) -> Result<(), Failure>;
    /// The interface of that name.
    fn interface(&self, name: &str) -> Option<Interface>;
    /// The name of the interface with that address.
    fn interface_with(&self, address: IpAddr) -> Option<String>;
    /// Tries all portals at the same time; within a few seconds.
    fn reach(&self, portals: &[Portal]) -> Vec<Result<Reached, Unreached>>;
    /// The clock on the wall.
    fn now(&self) -> SystemTime;
    /// The disks that a daemon which is gone has left in a runtime directory, and that are still in use. None where disks
    /// wait for the next daemon.
    ///
    /// # Errors
    /// The system's.
    fn lost(&self, runtime_dir: &Path) -> io::Result<Vec<LostDisk>>;
}

/// This machine.
#[derive(Debug, Clone, Copy)]
pub struct Machine;

impl World for Machine {
    fn os(&self) -> Os {
        if cfg!(target_os = "macos") { Os::Mac } else { Os::Linux }
    }

    fn user(&self) -> u32 {
        geteuid().as_raw()
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        let metadata = std::fs::metadata(path)?;
        Ok(Stat { owner: metadata.uid(), mode: metadata.mode() & 0o7777, is_socket: metadata.file_type().is_socket() })
    }

    fn room(&self, path: &Path) -> Option<u64> {
        let file_system = statvfs(path).ok()?;
        // Without a free inode there is no new file; some file systems do not count them.
        if file_system.files() > 0 && file_system.files_available() == 0 {
            return Some(0);
        }
        let blocks = if geteuid().is_root() { file_system.blocks_free() } else { file_system.blocks_available() };
        // macOS counts them in 32 bits.
        #[allow(clippy::useless_conversion)]
        let blocks = u64::from(blocks);
        Some(blocks.saturating_mul(file_system.fragment_size()))
    }

    fn settings(&self, path: &Path) -> Result<Option<(Config, Secrets)>, Failure> {
        config::look(path)
    }

    fn knock(&self, socket: &Path) -> io::Result<()> {
        UnixStream::connect(socket).map(drop)
    }

    fn has_tool(&self, name: &str) -> bool {
        // Where a daemon finds them: the PATH of the user who asks may be another.
        let usual = ["/usr/bin", "/bin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/local/sbin"];
        let own = std::env::var_os("PATH").unwrap_or_default();
        let mut places = std::env::split_paths(&own).chain(usual.map(Into::into));
        places.any(|directory| {
            std::fs::metadata(directory.join(name)).is_ok_and(|file| file.is_file() && file.mode() & 0o111 != 0)
        })
    }

    fn output(&self, program: &str, arguments: &[&str]) -> Option<String> {
        let output = Command::new(program).args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn nfs_port(&self, settings: &Path) -> Option<u16> {
        Some(NfsIdentity::load(&NfsIdentity::path(settings)).ok()??.port)
    }

    fn listens(&self, port: u16) -> bool {
        TcpStream::connect_timeout(&(Ipv4Addr::LOCALHOST, port).into(), PATIENCE).is_ok()
    }

    fn way_to(&self, runtime_dir: &Path) -> Result<(), Failure> {
        config::safe_way_to_runtime_dir(runtime_dir)
    }

    fn interface(&self, name: &str) -> Option<Interface> {
        let mine: Vec<_> = getifaddrs().ok()?.filter(|entry| entry.interface_name == name).collect();
        let first = mine.first()?;
        Some(Interface {
            running: first.flags.contains(InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING),
            addresses: mine.iter().filter_map(address).collect(),
            mtu: self.mtu(name),
        })
    }

    fn interface_with(&self, wanted: IpAddr) -> Option<String> {
        getifaddrs().ok()?.find(|entry| address(entry) == Some(wanted)).map(|entry| entry.interface_name)
    }

    fn reach(&self, portals: &[Portal]) -> Vec<Result<Reached, Unreached>> {
        let broken = |why: String| vec![Err((ExitCode::Internal, why)); portals.len()];
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return broken(format!("the system does not let it be tried: {error}")),
        };
        let results = runtime.block_on(async {
            let mut results = Vec::new();
            for some in portals.chunks(AT_A_TIME) {
                let mut tries = JoinSet::new();
                for (number, portal) in some.iter().cloned().enumerate() {
                    tries.spawn(async move { (number, reach(&portal).await) });
                }
                let mut all = tries.join_all().await;
                all.sort_by_key(|(number, _)| *number);
                results.extend(all.into_iter().map(|(_, result)| result));
            }
            results
        });
        // A silent name server may keep a thread busy: the doctor does not wait for it.
        runtime.shutdown_background();
        results
    }

    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn lost(&self, runtime_dir: &Path) -> io::Result<Vec<LostDisk>> {
        if self.os() != Os::Linux {
            return Ok(Vec::new());
        }
        let lost = lost_disks(runtime_dir)?.into_iter();
        let told =
            lost.map(|Lost { unit, device, uses }| LostDisk { unit, device: device.display().to_string(), uses });
        Ok(told.collect())
    }
}

impl Machine {
    /// Without `unsafe` only other programs know.
    #[cfg(target_os = "macos")]
    fn mtu(&self, name: &str) -> Option<u32> {
        mtu_of_ifconfig(&self.output("/sbin/ifconfig", &[name])?)
    }

    #[cfg(not(target_os = "macos"))]
    fn mtu(&self, name: &str) -> Option<u32> {
        std::fs::read_to_string(Path::new("/sys/class/net").join(name).join("mtu")).ok()?.trim().parse().ok()
    }
}

/// `en0: flags=8863<UP,…> mtu 1500`.
#[cfg(any(test, target_os = "macos"))]
fn mtu_of_ifconfig(text: &str) -> Option<u32> {
    let mut words = text.split_whitespace();
    words.find(|word| *word == "mtu")?;
    words.next()?.parse().ok()
}

fn address(entry: &nix::ifaddrs::InterfaceAddress) -> Option<IpAddr> {
    let address = entry.address.as_ref()?;
    let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
}

async fn reach(portal: &Portal) -> Result<Reached, Unreached> {
    let stream = connect(&Endpoint::from(portal), Instant::now() + PATIENCE, PATIENCE)
        .await
        .map_err(|cause| (cause.code(), cause.to_string()))?;
    let local = stream.local_addr().map_err(|error| (ExitCode::Unavailable, error.to_string()))?.ip();
    Ok(Reached { local: local.to_canonical(), segment: SockRef::from(&stream).tcp_mss().ok() })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn this_machine_has_a_loopback_with_an_address_and_an_mtu() {
        let name = Machine.interface_with(IpAddr::V4(Ipv4Addr::LOCALHOST)).expect("a loopback");
        let loopback = Machine.interface(&name).expect("it is there");
        assert!(loopback.running, "{loopback:?}");
        if !cfg!(target_os = "macos") || Path::new("/sbin/ifconfig").exists() || crate::testing::cannot("no ifconfig") {
            assert!(loopback.mtu.is_some_and(|mtu| mtu >= 1500), "{loopback:?}");
        }
        assert!(Machine.interface("nosuch0").is_none());
        assert!(Machine.has_tool("ls") && !Machine.has_tool("no-such-tool-anywhere"));
    }

    #[test]
    fn portals_are_tried_together_and_answered_in_their_order() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let open = listener.local_addr().expect("its number").port();
        let shut = TcpListener::bind("127.0.0.1:0").and_then(|other| other.local_addr()).expect("a port").port();
        let at = |port| Portal { address: "127.0.0.1".into(), port, interface: None, group_tag: None };
        let results = Machine.reach(&[at(shut), at(open), at(shut)]);
        assert_eq!(results.iter().map(Result::is_ok).collect::<Vec<_>>(), [false, true, false]);
        assert_eq!(results[0].as_ref().err().map(|(code, _)| *code), Some(ExitCode::Unavailable));
        let reached = results[1].as_ref().expect("reached");
        assert!(reached.segment.is_some_and(|bytes| bytes > 500), "{reached:?}");
    }

    #[test]
    fn the_mtu_is_read_from_what_ifconfig_prints() {
        let text = "en0: flags=8863<UP,BROADCAST,SMART,RUNNING,SIMPLEX,MULTICAST> mtu 9000\n\toptions=6460<TSO4>\n";
        assert_eq!(mtu_of_ifconfig(text), Some(9000));
        assert_eq!(mtu_of_ifconfig("ifconfig: interface en9 does not exist"), None);
    }
}
