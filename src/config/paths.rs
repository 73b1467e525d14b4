//! Where things are when nobody says: the property list, and the runtime directory with the sockets.

use std::env;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

/// The property list. Root: `/etc/iscsid/iscsid.plist`, on macOS `/Library/Application Support`. Anybody else: the XDG
/// configuration directory, or one's own Library.
pub fn default_config() -> PathBuf {
    let directory = if geteuid().is_root() { system_config_dir() } else { user_config_dir() };
    directory.join("iscsid.plist")
}

/// The runtime directory: [`system_runtime_dir`] for root, one's own for anybody else.
pub fn default_runtime_dir() -> PathBuf {
    if geteuid().is_root() { system_runtime_dir() } else { user_runtime_dir() }
}

/// The runtime directory of a daemon that root started.
pub fn system_runtime_dir() -> PathBuf {
    PathBuf::from(if cfg!(target_os = "macos") { "/var/run/iscsid" } else { "/run/iscsid" })
}

/// The directory of root's property list. Not Homebrew's etc, whoever installed the program: Homebrew gives it to a user, who
/// would choose whom root logs in to. Not /Library/Preferences: macOS keeps what is there in memory, and writes it back over
/// what others have changed.
fn system_config_dir() -> PathBuf {
    PathBuf::from(if cfg!(target_os = "macos") { "/Library/Application Support/iscsid" } else { "/etc/iscsid" })
}

/// A property list in Homebrew's etc, where root's was for a while and is not read any more; `None` where there is none, or
/// `used` is it.
pub fn left_behind(used: &Path) -> Option<PathBuf> {
    let executable = env::current_exe().and_then(|path| path.canonicalize()).ok()?;
    let old = homebrew_prefix(&executable)?.join("etc/iscsid/iscsid.plist");
    (geteuid().is_root() && old != used && old.exists()).then_some(old)
}

/// `/opt/homebrew` of `/opt/homebrew/Cellar/iscsid/0.1.0/bin/iscsid`.
fn homebrew_prefix(executable: &Path) -> Option<&Path> {
    executable.ancestors().find(|path| path.ends_with("Cellar"))?.parent()
}

fn user_config_dir() -> PathBuf {
    if cfg!(target_os = "macos") {
        return home().join("Library/Application Support/iscsid");
    }
    absolute("XDG_CONFIG_HOME").unwrap_or_else(|| home().join(".config")).join("iscsid")
}

fn user_runtime_dir() -> PathBuf {
    let base = if cfg!(target_os = "macos") { absolute("TMPDIR") } else { absolute("XDG_RUNTIME_DIR") };
    match base {
        Some(base) => base.join("iscsid"),
        // Shared with everybody: the daemon creates it 0700 and checks whose it is.
        None => PathBuf::from(format!("/tmp/iscsid-{}", geteuid())),
    }
}

fn home() -> PathBuf {
    absolute("HOME").unwrap_or_else(|| PathBuf::from("/"))
}

/// A directory from the environment; the XDG specification has relative ones ignored.
fn absolute(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_settings_are_where_only_root_writes() {
        let expected = if cfg!(target_os = "macos") { "/Library/Application Support/iscsid" } else { "/etc/iscsid" };
        assert_eq!(system_config_dir(), Path::new(expected));
        assert_eq!(left_behind(Path::new("/etc/iscsid/iscsid.plist")), None, "this program is not of Homebrew");
    }

    #[test]
    fn homebrew_is_recognised_by_its_cellar() {
        let prefix = |path| homebrew_prefix(Path::new(path)).map(|path| path.display().to_string());
        assert_eq!(prefix("/opt/homebrew/Cellar/iscsid/0.1.0/bin/iscsid").as_deref(), Some("/opt/homebrew"));
        assert_eq!(prefix("/usr/local/Cellar/iscsid/0.1.0/bin/iscsid").as_deref(), Some("/usr/local"));
        assert_eq!(prefix("/usr/local/bin/iscsid"), None);
    }
}
