//! The configuration and the secrets on disk, with one writer: this.
//!
//! ```text
//!   open ──► config(), secrets()            what holds
//!        └─► edit(|config, secrets| …)      a copy is edited → saved → only then it holds
//! ```

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

use super::convert::{self, VERSION};
use super::file::{self, Staged, failure};
use super::schema;
use super::secrets::Secrets;
use super::secrets::vault::Vault;
use super::settings::Config;
use crate::ipc::{ExitCode, Failure};
use crate::regular_file;

/// The configuration of a running daemon. See the module's picture.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    config: Config,
    secrets: Secrets,
    vault: Vault,
    /// What the file held when we last read or wrote it: an edit by hand since then is not run over.
    bytes: Option<Vec<u8>>,
    /// Held while the store lives; `None` where the directory cannot be written to, so nobody writes.
    _lock: Option<Flock<File>>,
}

impl Store {
    /// Reads the property list (none is the defaults) and the secrets beside it, and gives the
    /// initiator a name if it has none: made once, and saved.
    ///
    /// # Errors
    /// [`ExitCode::Configuration`]: a sentence that names the file and the key; the file is not
    /// touched. [`ExitCode::TryAgain`]: another daemon has it open.
    pub fn open(path: &Path) -> Result<Store, Failure> {
        let bytes = file::read(path)?;
        let config = match &bytes {
            None => Config::default(),
            Some(bytes) => parse(path, bytes)?,
        };
        for value in config.without_effect() {
            tracing::warn!("{}: {}", path.display(), value.what);
        }
        let vault = Vault::system(path);
        let secrets = vault.load(&secrets_path(path), config.targets.keys().map(String::as_str))?;
        let lock = lock(path)?;
        if let Some(choice) = vault.choice(&secrets_path(path)) {
            tracing::info!("{choice}");
        }
        if let Err(failure) = vault.settle(&secrets_path(path), &secrets) {
            tracing::warn!(
                "CHAP secrets stay in the keychain, which will not give them to the next version: {failure}"
            );
        }
        tell_kept_back(&secrets);
        let mut store = Store { path: path.to_owned(), config, secrets, vault, bytes, _lock: lock };
        if store.config.initiator.name.is_empty() {
            let name = super::initiator_name::make()?;
            store.edit(|config, _| {
                config.initiator.name = name;
                Ok(())
            })?;
        }
        Ok(store)
    }

    /// What holds.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The secrets that hold.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// Where the property list is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Edits a copy, saves it, and only then lets it hold. After an error nothing has changed.
    ///
    /// # Errors
    /// The edit's own; [`ExitCode::Configuration`] where it cannot be saved.
    pub fn edit<T>(
        &mut self,
        edit: impl FnOnce(&mut Config, &mut Secrets) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut config = self.config.clone();
        let mut secrets = self.secrets.clone();
        let result = edit(&mut config, &mut secrets)?;
        // The settings' bytes first: they need room, and without it the secrets stay as they are, too.
        let staged = if config == self.config { None } else { Some(self.stage(&config)?) };
        let secrets_changed = secrets != self.secrets;
        if secrets_changed {
            self.vault.save(&secrets_path(&self.path), &self.secrets, &secrets)?;
        }
        if let Some((staged, bytes)) = staged {
            if let Err(failure) = staged.commit() {
                // A rename failed. Best effort to keep both files as they were; the user is told the first failure.
                if secrets_changed
                    && let Err(second) = self.vault.save(&secrets_path(&self.path), &secrets, &self.secrets)
                {
                    tracing::error!("the new secrets stay although the settings could not be saved: {second}");
                }
                return Err(failure);
            }
            self.bytes = Some(bytes);
        }
        self.config = config;
        self.secrets = secrets;
        Ok(result)
    }

    /// The settings as they will be saved, with their bytes.
    fn stage(&self, config: &Config) -> Result<(Staged, Vec<u8>), Failure> {
        let path = &self.path;
        if file::read(path)? != self.bytes {
            let message = format!("{} was changed by hand since iscsid read it", path.display());
            return Err(Failure::new(ExitCode::TryAgain, message).advice("restart iscsid, then repeat the command"));
        }
        let mut bytes = Vec::new();
        plist::to_writer_xml(&mut bytes, &convert::to_file(config))
            .map_err(|error| failure(format!("cannot write the settings as a property list: {error}")))?;
        bytes.push(b'\n');
        file::readable(path, &bytes, |bytes| schema::parse(bytes).and_then(convert::from_file).map(drop))?;
        Ok((file::stage(path, &bytes)?, bytes))
    }
}

/// The most secrets that are named because the keychain does not give them.
const NAMED: usize = 8;

fn tell_kept_back(secrets: &Secrets) {
    for failure in secrets.all_kept_back().take(NAMED) {
        tracing::warn!("{failure}");
    }
    match secrets.all_kept_back().count().saturating_sub(NAMED) {
        0 => {}
        more => tracing::warn!("so with {more} more; a login says which ones it needs"),
    }
}

/// Reads settings and secrets as a daemon would, and changes nothing; `None` where there is no file.
///
/// # Errors
/// As [`Store::open`], but nobody is in the way.
pub fn look(path: &Path) -> Result<Option<(Config, Secrets)>, Failure> {
    let Some(bytes) = file::read(path)? else { return Ok(None) };
    let config = parse(path, &bytes)?;
    let secrets = Vault::system(path).load(&secrets_path(path), config.targets.keys().map(String::as_str))?;
    Ok(Some((config, secrets)))
}

/// The secrets' file: beside the property list. `iscsid.plist` has `secrets.plist`; another name,
/// such as `test.plist`, has `test.secrets.plist`, so that two can share a directory.
pub fn secrets_path(config: &Path) -> PathBuf {
    match config.file_stem().and_then(|stem| stem.to_str()) {
        None | Some("iscsid") => config.with_file_name("secrets.plist"),
        Some(stem) => config.with_file_name(format!("{stem}.secrets.plist")),
    }
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Config, Failure> {
    if let Some(version) = schema::version(bytes).filter(|version| *version != VERSION) {
        let (path, what) = (path.display(), format!("is {version}, and this iscsid reads version {VERSION}"));
        return Err(failure(format!("{path}: Version: {what}"))
            .advice("use the iscsid that wrote it, or move the file away to begin anew"));
    }
    schema::parse(bytes)
        .and_then(convert::from_file)
        .map_err(|what| failure(format!("{}: {what}", path.display())).advice("correct it, or move the file away"))
}

/// Locks `.iscsid.plist.lock` beside the file: the file itself is replaced at every save.
fn lock(path: &Path) -> Result<Option<Flock<File>>, Failure> {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".lock");
    let directory = file::directory(path);
    let open = || {
        std::fs::create_dir_all(&directory)?;
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(false).mode(0o600);
        regular_file::open(&directory.join(&name), options).map_err(std::io::Error::from)
    };
    let file = match open() {
        Ok(file) => file,
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem | ErrorKind::StorageFull
            ) =>
        {
            return Ok(None);
        }
        Err(error) if error.kind() == ErrorKind::InvalidInput => {
            let what = format!("{} is not locked: {error}", directory.join(&name).display());
            return Err(failure(what).advice("remove it, or name another place with --config"));
        }
        Err(error) => {
            let what = format!("cannot use {} for the configuration: {error}", directory.display());
            return Err(failure(what).advice("name another place with --config"));
        }
    };
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, nix::errno::Errno::EWOULDBLOCK)) => {
            let message = format!("another iscsid uses {}", path.display());
            Err(Failure::new(ExitCode::TryAgain, message).advice("stop it, or name another file with --config"))
        }
        // A file system without locks: nothing else to do than trust.
        Err((_, error)) => {
            tracing::warn!("cannot lock {}: {error}; start only one iscsid on it", path.display());
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests;
