//! Whether a volume of a disk is mounted, for the export: only then may its I/O wait for a target that is away.
//!
//! ```text
//!   I/O ──► stirred ──► hdiutil info ─┬─ a volume is mounted ──────────► I/O waits
//!             ▲   a while later       └─ none is, and is not the next ─► it fails after half a minute
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
        let (inner, unit) = (Arc::downgrade(self), unit.to_owned());
        tokio::spawn(async move {
            tokio::select! { () = attachment.closed() => {}, () = watch(&inner, &unit, &attachment) => {} }
        });
    }

    /// Whether a volume of the unit's disk is mounted; `None` where no disk is listed.
    async fn has_volumes(&self, unit: &str) -> Result<Option<bool>, AttachError> {
        let image = self.listed(&self.place(unit)?).await?;
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
        let pause = match seen {
            Ok(Some(true)) => {
                attachment.set_mounted(true);
                none_before = false;
                LATER
            }
            Ok(Some(false)) => {
                if none_before {
                    attachment.set_mounted(false);
                }
                none_before = !none_before;
                SOON
            }
            Ok(None) => SOON,
            Err(error) => {
                tracing::debug!("{unit}: whether a volume is mounted is not known: {error}");
                SOON
            }
        };
        sleep(pause).await;
    }
}

/// Ends an attach whose mount is gone.
pub(super) fn close(attachment: &Attachment) {
    if let Err(error) = attachment.close() {
        tracing::warn!("what a unit was mounted by stays where it is kept: {error}");
    }
}
