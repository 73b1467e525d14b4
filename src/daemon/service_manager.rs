//! What systemd is told of the daemon's life, by sd_notify(3): a service of `Type=notify` is up when it says so, and not
//! before it answers. Elsewhere, and where nobody listens, nothing happens.

/// A moment of the daemon's life.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Moment<'a> {
    /// It answers, and has begun to log in.
    Ready,
    /// It goes on, although it was told to end, for a reason: a sentence.
    Waiting(&'a str),
    /// It ends.
    Stopping,
}

/// Tells it.
#[cfg(target_os = "linux")]
pub(crate) fn tell(moment: Moment<'_>) {
    use sd_notify::NotifyState::{Ready, Status, Stopping};

    // A line is an assignment there, so a status has one.
    let text = match moment {
        Moment::Ready => "answers; `iscsictl list targets` says what it is logged in to".to_owned(),
        Moment::Waiting(why) => why.replace(['\n', '\r'], " "),
        Moment::Stopping => "logs out of all targets".to_owned(),
    };
    let status = Status(&text);
    let told = match moment {
        Moment::Ready => sd_notify::notify(&[Ready, status]),
        Moment::Waiting(_) => sd_notify::notify(&[status]),
        Moment::Stopping => sd_notify::notify(&[Stopping, status]),
    };
    if let Err(error) = told {
        tracing::warn!("systemd could not be told how iscsid is: {error}");
    }
}

/// launchd asks nothing, and others are not known.
#[cfg(not(target_os = "linux"))]
pub(crate) fn tell(moment: Moment<'_>) {
    match moment {
        Moment::Waiting(why) => tracing::debug!("{why}"),
        Moment::Ready | Moment::Stopping => {}
    }
}
