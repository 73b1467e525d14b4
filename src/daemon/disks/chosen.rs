//! The way in which this daemon attaches units: chosen when it starts.
//!
//! ```text
//!   --attach auto ──► loop on Linux, else diskimage          loop       LoopDisks
//!   --attach none ──► NoDisks                                diskimage  DiskImages, by MacTools
//!   sessions in the kernel extension, on macOS ──► SystemDisks, whatever auto would be
//! ```

use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tracing::{info, warn};

use super::system::SystemDisks;
use super::{Afterlife, DiskFuture, Disks, failure};
use crate::block::Block;
use crate::daemon::nfs::NfsPlace;
use crate::export::attach::disk_images::{NfsDoor, Transfers};
use crate::export::attach::{AttachError, DiskImages, Diskutil, LoopDisks, Lost, MacTools, Way};
use crate::ipc::{ExitCode, Failure, LostDisk};
use crate::kernel_bridge::SystemDevices;
use crate::options::{Attach, Nfs, Options};

/// How often it is looked at whether a lost disk is still in use.
const TIDY_INTERVAL: Duration = Duration::from_secs(1);

/// What this daemon attaches units by.
#[derive(Debug, Clone)]
pub(crate) enum Chosen {
    /// Loop devices.
    Loop,
    /// Disk images, by these tools, and so much of their files at a time.
    DiskImages(MacTools, Transfers),
    /// None.
    Nothing,
}

impl Chosen {
    /// What the options say, or this system's way.
    ///
    /// # Errors
    /// [`ExitCode::Usage`] for options that contradict each other, [`ExitCode::Configuration`] for a way that this
    /// system does not have.
    pub(crate) fn of(options: &Options) -> Result<Chosen, Failure> {
        let wrong = |code, message: &str, advice: &str| Err(Failure::new(code, message).advice(advice));
        let tools = mac_tools(options);
        let transfers = Transfers { block: options.nfs_block << 10, read_ahead: options.nfs_read_ahead };
        let chosen = match options.attach {
            Attach::Auto if cfg!(target_os = "linux") => Chosen::Loop,
            Attach::Auto => Chosen::DiskImages(tools, transfers),
            Attach::Loop if !cfg!(target_os = "linux") => {
                let message = "--attach loop makes loop devices, which this system does not have";
                return wrong(ExitCode::Configuration, message, "leave it out");
            }
            Attach::Loop => Chosen::Loop,
            Attach::DiskImage if options.nfs == Nfs::No => {
                let message = "--attach diskimage makes disks of the files that --nfs no does not export";
                return wrong(ExitCode::Usage, message, "leave one of them out");
            }
            Attach::DiskImage if !tools.make_images() => {
                let place =
                    options.mac_tools.as_ref().map_or("here".to_owned(), |tools| format!("in {}", tools.display()));
                let message = format!("--attach diskimage makes disks by hdiutil or diskutil, and neither is {place}");
                let advice = "leave it out, or name the directory that has them by --mac-tools";
                return wrong(ExitCode::Configuration, &message, advice);
            }
            Attach::DiskImage => Chosen::DiskImages(tools, transfers),
            Attach::None => Chosen::Nothing,
        };
        let runtime_dir = options.runtime_dir();
        if matches!(chosen, Chosen::DiskImages(..)) && runtime_dir.to_str().is_none() {
            // Property lists, by which its tools answer, are text.
            let message = format!("the tools of macOS cannot name files below {}", runtime_dir.display());
            return wrong(ExitCode::Configuration, &message, "give a name in UTF-8 by --runtime-dir");
        }
        if options.mac_tools.is_some() && !matches!(chosen, Chosen::DiskImages(..)) {
            let message = "--mac-tools names tools for --attach diskimage";
            return wrong(ExitCode::Usage, message, "give both, or neither");
        }
        Ok(chosen)
    }

    /// The disks that the system makes by itself, in place of a way: `devices` knows them.
    ///
    /// # Errors
    /// [`ExitCode::Usage`] for options that ask for a way.
    pub(crate) fn by_the_system(options: &Options, devices: SystemDevices) -> Result<Arc<dyn Disks>, Failure> {
        if options.attach != Attach::Auto {
            let message = "sessions run in the kernel extension, and macOS makes disks of their units by itself";
            return Err(Failure::new(ExitCode::Usage, message).advice("leave --attach out, or add --bridge user"));
        }
        Ok(Arc::new(SystemDisks::new(devices, Arc::new(Diskutil::new(mac_tools(options))))))
    }

    /// Whether disks are made of files that are exported by NFS.
    pub(crate) fn needs_nfs(&self) -> bool {
        matches!(self, Chosen::DiskImages(..))
    }

    /// Ready to attach units below a runtime directory, after what an earlier daemon has left there is cleared away.
    pub(crate) async fn disks(self, runtime_dir: &Path, nfs: Option<&NfsPlace>) -> Arc<dyn Disks> {
        match self {
            Chosen::Loop => cleared(LoopDisks::new(runtime_dir)).await,
            Chosen::DiskImages(tools, transfers) => {
                let door = nfs.map(|nfs| NfsDoor {
                    port: nfs.port,
                    moved: nfs.moved,
                    held: nfs.held,
                    attachments: nfs.attachments.clone(),
                    proofs: nfs.proofs.clone(),
                    transfers,
                });
                cleared(DiskImages::new(runtime_dir, door, tools)).await
            }
            Chosen::Nothing => {
                // An earlier daemon may have had this system's own way.
                let before = if cfg!(target_os = "linux") {
                    cleared(LoopDisks::new(runtime_dir)).await
                } else {
                    cleared(DiskImages::new(runtime_dir, None, MacTools::default())).await
                };
                Arc::new(NoDisks { before })
            }
        }
    }
}

/// The tools of macOS, or what stands in for them.
pub(crate) fn mac_tools(options: &Options) -> MacTools {
    options.mac_tools.as_deref().map_or_else(MacTools::default, MacTools::in_directory)
}

async fn cleared(way: impl Way) -> Arc<dyn Disks> {
    match way.clean_stale().await {
        Ok(cleared) => cleared.iter().for_each(|what| info!("left behind by an earlier iscsid: {what}")),
        Err(error) => warn!("what an earlier iscsid has left behind stays: {error}"),
    }
    let disks: Arc<dyn Disks> = Arc::new(way);
    let lost = disks.lost().await;
    if !lost.is_empty() {
        tokio::spawn(tidy_up(Arc::downgrade(&disks), lost.len()));
    }
    for lost in lost {
        warn!("{lost}; {}", lost.advice());
    }
    disks
}

/// Clears lost disks away, each when its last user has let go of it.
async fn tidy_up(disks: Weak<dyn Disks>, mut before: usize) {
    while before > 0 {
        // Neither the mount table nor sysfs reports that a disk is let go of by all kinds of users.
        tokio::time::sleep(TIDY_INTERVAL).await;
        let Some(disks) = disks.upgrade() else { return };
        let now = disks.lost().await.len();
        if now < before {
            match disks.tidy().await {
                Ok(done) => done.iter().for_each(|what| info!("a lost disk is not used any more: {what}")),
                Err(failure) => warn!("what is left of a lost disk stays until iscsid starts again: {failure}"),
            }
        }
        before = now;
    }
}

impl<W: Way> Disks for W {
    fn attach(&self, unit: &str, block: Result<Arc<dyn Block>, Failure>) -> DiskFuture<'_, String> {
        let unit = unit.to_owned();
        Box::pin(async move {
            let device = Way::attach(self, &unit, block?).await;
            device.map(|path| path.display().to_string()).map_err(|error| failure("attached", &unit, &error))
        })
    }

    fn detach(&self, unit: &str, force: bool) -> DiskFuture<'_, Vec<String>> {
        let unit = unit.to_owned();
        Box::pin(async move {
            match Way::detach(self, &unit, force).await {
                Ok(said) => Ok(said),
                Err(AttachError::NotAttached) => Ok(Vec::new()),
                Err(error) => Err(failure("detached", &unit, &error)),
            }
        })
    }

    fn put_away(&self, unit: &str) -> DiskFuture<'_, Vec<String>> {
        let unit = unit.to_owned();
        Box::pin(async move {
            match Way::put_away(self, &unit).await {
                Ok(said) => Ok(said),
                Err(AttachError::NotAttached) => Ok(Vec::new()),
                Err(error) => Err(failure("put away", &unit, &error)),
            }
        })
    }

    fn write_back(&self, unit: &str) -> DiskFuture<'_, ()> {
        let unit = unit.to_owned();
        Box::pin(
            async move { Way::write_back(self, &unit).await.map_err(|error| failure("written back", &unit, &error)) },
        )
    }

    fn device(&self, unit: &str) -> Option<String> {
        Way::device(self, unit).map(|path| path.display().to_string())
    }

    fn afterlife(&self) -> Afterlife {
        if self.outlive_the_daemon() { Afterlife::Waits } else { Afterlife::None }
    }

    fn in_use(&self, unit: &str) -> Pin<Box<dyn Future<Output = Vec<String>> + Send + '_>> {
        let unit = unit.to_owned();
        Box::pin(async move { Way::in_use(self, &unit).await })
    }

    fn attached(&self) -> Vec<(String, String)> {
        let attached = Way::attached(self).into_iter();
        attached.map(|(unit, device)| (unit, device.display().to_string())).collect()
    }

    fn tidy(&self) -> DiskFuture<'_, Vec<String>> {
        Box::pin(async move {
            Way::tidy(self).await.map_err(|error| Failure::new(ExitCode::Unavailable, error.to_string()))
        })
    }

    fn lost(&self) -> Pin<Box<dyn Future<Output = Vec<LostDisk>> + Send + '_>> {
        Box::pin(async move {
            let lost = Way::lost(self).await.into_iter();
            lost.map(|Lost { unit, device, uses }| LostDisk { unit, device: device.display().to_string(), uses })
                .collect()
        })
    }
}

/// No unit becomes a disk.
struct NoDisks {
    /// What an earlier daemon attached by.
    before: Arc<dyn Disks>,
}

impl Disks for NoDisks {
    fn attach(&self, unit: &str, _block: Result<Arc<dyn Block>, Failure>) -> DiskFuture<'_, String> {
        let message = format!("{unit} cannot be attached: iscsid was started with --attach none");
        Box::pin(async { Err(Failure::new(ExitCode::Configuration, message).advice("use its NBD URI")) })
    }

    fn detach(&self, _unit: &str, _force: bool) -> DiskFuture<'_, Vec<String>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn tidy(&self) -> DiskFuture<'_, Vec<String>> {
        self.before.tidy()
    }

    fn lost(&self) -> Pin<Box<dyn Future<Output = Vec<LostDisk>> + Send + '_>> {
        self.before.lost()
    }

    fn write_back(&self, _unit: &str) -> DiskFuture<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn device(&self, _unit: &str) -> Option<String> {
        None
    }

    fn attach_at_login(&self) -> bool {
        false
    }

    fn afterlife(&self) -> Afterlife {
        Afterlife::None
    }

    fn in_use(&self, _unit: &str) -> Pin<Box<dyn Future<Output = Vec<String>> + Send + '_>> {
        Box::pin(async { Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    fn chosen(line: &[&str]) -> Result<Chosen, (ExitCode, String)> {
        let options = Options::understand(line.iter().map(OsString::from)).expect("a good line");
        Chosen::of(&options).map_err(|failure| (failure.code, failure.to_string()))
    }

    fn refusal(line: &[&str]) -> (ExitCode, String) {
        chosen(line).expect_err("a wrong combination")
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn auto_is_this_systems_way() {
        assert!(matches!(chosen(&[]), Ok(Chosen::Loop)));
        assert!(matches!(chosen(&["--attach", "loop", "--nfs", "no"]), Ok(Chosen::Loop)));
        assert!(matches!(chosen(&["--attach", "none"]), Ok(Chosen::Nothing)));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn disk_images_are_made_by_stand_ins_where_macos_is_not() {
        let (code, why) = refusal(&["--attach", "diskimage"]);
        assert!(code == ExitCode::Configuration && why.contains("--mac-tools"), "{why}");
        let tools = tempfile::tempdir().expect("a directory");
        let line = ["--attach", "diskimage", "--mac-tools", tools.path().to_str().expect("text")];
        assert_eq!(refusal(&line).0, ExitCode::Configuration, "there is no tool in it");
        std::fs::write(tools.path().join("diskutil"), "").expect("a stand-in");
        assert!(chosen(&line).expect("it is there").needs_nfs());
    }

    #[test]
    fn options_that_contradict_each_other_are_refused() {
        let (code, why) = refusal(&["--attach", "diskimage", "--nfs", "no"]);
        assert!(code == ExitCode::Usage && why.contains("leave one of them out"), "{why}");
        let (code, why) = refusal(&["--attach", "none", "--mac-tools", "/t"]);
        assert!(code == ExitCode::Usage && why.contains("--attach diskimage"), "{why}");
    }

    #[test]
    fn disk_images_need_a_runtime_directory_that_is_text() {
        use std::os::unix::ffi::OsStringExt;
        let tools = tempfile::tempdir().expect("a directory");
        std::fs::write(tools.path().join("diskutil"), "").expect("a stand-in");
        let words = ["--attach", "diskimage", "--mac-tools", tools.path().to_str().expect("text"), "--runtime-dir"];
        let line = words.iter().map(OsString::from).chain([OsString::from_vec(b"/run/b\xe4r".to_vec())]);
        let options = Options::understand(line).expect("a good line");
        let failure = Chosen::of(&options).expect_err("it cannot be named");
        assert!(failure.code == ExitCode::Configuration && failure.to_string().contains("--runtime-dir"), "{failure}");
    }

    #[test]
    fn a_way_is_refused_where_the_system_makes_the_disks() {
        let by_the_system = |line: &[&str]| {
            let options = Options::understand(line.iter().map(OsString::from)).expect("a good line");
            Chosen::by_the_system(&options, Arc::new(|_: &str| None)).map(|_| ()).map_err(|failure| failure.code)
        };
        assert_eq!(by_the_system(&[]), Ok(()));
        assert_eq!(by_the_system(&["--attach", "none"]), Err(ExitCode::Usage));
    }

    #[tokio::test]
    async fn without_a_way_nothing_is_attached_at_a_login_and_asking_for_it_says_why() {
        let disks = Chosen::Nothing.disks(Path::new("/nowhere"), None).await;
        assert!(!disks.attach_at_login());
        let plan = crate::block::testing::Plan::of_bytes(1 << 20);
        let refused = disks.attach("iqn.a:b/0", Ok(crate::block::testing::RamDisk::start(plan))).await;
        let failure = refused.expect_err("no way");
        assert_eq!(failure.code, ExitCode::Configuration);
        assert!(failure.to_string().contains("--attach none"), "{failure}");
        assert_eq!(disks.device("iqn.a:b/0"), None);
    }
}
