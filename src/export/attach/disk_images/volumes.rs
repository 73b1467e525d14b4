//! Whether a volume of a disk is mounted, for the export: only then may its I/O wait for a target that is away.
//!
//! ```text
//!                    hdiutil attach ─── has mounted a volume ───────────┐
//!   I/O ──► stirred ──► hdiutil info ─┬─ one is mounted, or may be ─────┴► I/O waits
//!             ▲   a while later       └─ none is, nor the next time ────► it fails after half a minute
//!             └─────────────────────────────────┘
//! ```
//! Volumes come and go by the Finder and other programs, and never without I/O.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::sleep;

use super::inner::Inner;
use crate::export::attach::AttachError;
use crate::export::attach::program::Program;
use crate::export::nfs::Attachment;

/// How long it takes at most until a volume that is mounted now is known: less than I/O may take without one.
const SOON: Duration = Duration::from_secs(5);

/// How long after a look that has shown a volume the next one comes.
const LATER: Duration = Duration::from_secs(30);

impl Inner {
    /// Tells the attach from now on whether a volume of its unit is mounted.
    pub(super) fn watch_volumes(self: &Arc<Self>, unit: &str, attachment: Attachment) {
        if !self.runner.has(Program::Hdiutil) {
            // Nothing tells. An error under a mounted volume does more harm than a wait without one.
            attachment.set_mounted(true);
            return;
        }
        let (inner, name) = (Arc::downgrade(self), unit.to_owned());
        let watcher = tokio::spawn(async move {
            tokio::select! { () = attachment.closed() => {}, () = watch(&inner, &name, &attachment) => {} }
        });
        if let Some(unit) = self.unit(unit) {
            unit.watched_by(watcher);
        }
    }

    /// The attach of a unit, also of an earlier daemon.
    pub(super) fn attachment(&self, unit: &str) -> Option<Attachment> {
        self.door.as_ref().and_then(|door| door.attachments.of(unit))
    }

    /// Whether a volume of the unit's disk is mounted; `None` where no disk is listed. It is asked too often to hold up
    /// whoever attaches and detaches.
    async fn has_volumes(&self, unit: &str) -> Result<Option<bool>, AttachError> {
        let image = self.glimpsed(&self.place(unit)?).await?;
        Ok(image.map(|image| !image.mount_points.is_empty()))
    }

    /// Ends the attaches of those units, whose mounts are gone.
    pub(super) fn close_attaches(&self, of: impl Fn(&str) -> bool) {
        let Some(door) = &self.door else { return };
        let units = door.attachments.units().into_iter().filter(|unit| of(unit));
        units.filter_map(|unit| door.attachments.of(&unit)).for_each(|attachment| close(&attachment));
    }
}

async fn watch(inner: &Weak<Inner>, unit: &str, attachment: &Attachment) {
    // A list has shown that none is mounted. One alone does not tell: it may have been cut short.
    let mut none_before = false;
    loop {
        if !none_before {
            attachment.stirred().await;
        }
        let Some(inner) = inner.upgrade() else { return };
        let seen = inner.has_volumes(unit).await;
        drop(inner);
        // Where nothing tells, one may be mounted.
        let (mounted, pause) = match seen {
            Ok(Some(true)) => (true, LATER),
            Ok(Some(false)) => (false, SOON),
            Ok(None) => (true, SOON),
            Err(error) => {
                tracing::debug!("{unit}: whether a volume is mounted is not known: {error}");
                (true, SOON)
            }
        };
        if mounted || none_before {
            attachment.set_mounted(mounted);
        }
        none_before = !mounted && !none_before;
        sleep(pause).await;
    }
}

/// Ends an attach whose mount is gone.
pub(super) fn close(attachment: &Attachment) {
    if let Err(error) = attachment.close() {
        tracing::warn!("what a unit was mounted by stays where it is kept: {error}");
    }
}
