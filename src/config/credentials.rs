//! The name and the secret that a login uses: the target's own where it has them, else the initiator's.

use super::secrets::{NodeSecrets, SecretBytes, Secrets};
use super::settings::{ALGORITHMS, ChapSettings, Config};
use crate::ipc::{self, ExitCode, Failure};

/// What a login authenticates with (RFC 7143 §12.1.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// CHAP_N we send.
    pub name: String,
    /// Our secret.
    pub secret: SecretBytes,
    /// The target must authenticate as well.
    pub mutual: Option<Mutual>,
    /// Algorithms to offer, in this order; of [`ALGORITHMS`], never empty.
    pub algorithms: Vec<String>,
}

/// How the target authenticates to us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mutual {
    /// CHAP_N it must send; any where none is configured.
    pub name: Option<String>,
    /// Its secret.
    pub secret: SecretBytes,
}

impl Config {
    /// What to authenticate with: to a target by its normalised name, or for discovery (`None`).
    /// `Ok(None)`: no CHAP is configured.
    ///
    /// # Errors
    /// [`ExitCode::Configuration`]: CHAP is configured by halves, both secrets are the same, or the keychain does not give
    /// one of them.
    pub fn credentials(&self, secrets: &Secrets, target: Option<&str>) -> Result<Option<Credentials>, Failure> {
        let (chap, stored) = self.chap_for(secrets, target);
        let whom = target.map_or_else(|| "discovery".to_owned(), |target| format!("target {target}"));
        let modify = match target {
            Some(target) if self.has_own_chap(secrets, target) => format!("iscsictl modify target {target}"),
            _ => "iscsictl modify initiator".to_owned(),
        };
        let fail = |what: String, advice: String| Err(Failure::new(ExitCode::Configuration, what).advice(advice));
        if chap.enabled == Some(false) {
            return Ok(None);
        }
        // Also where no name is set: to log in without a secret that is there would be to ask less of the target.
        if let Some(failure) = secrets.kept_back(target) {
            return Err(failure);
        }
        let wanted = chap.name.is_some()
            || chap.mutual_name.is_some()
            || stored.secret.is_some()
            || stored.mutual_secret.is_some();
        if !wanted {
            return Ok(None);
        }
        let Some(secret) = stored.secret else {
            return fail(
                format!("CHAP is configured for {whom}, but no secret is stored"),
                format!("store it with `{modify} --chap-secret`"),
            );
        };
        let mutual = match (chap.mutual_name, stored.mutual_secret) {
            (None, None) => None,
            (name, Some(secret)) => Some(Mutual { name, secret }),
            (Some(_), None) => {
                return fail(
                    format!("mutual CHAP is configured for {whom}, but the target's secret is not stored"),
                    format!("store it with `{modify} --chap-mutual-secret`"),
                );
            }
        };
        if mutual.as_ref().is_some_and(|mutual| mutual.secret == secret) {
            return fail(
                format!(
                    "our CHAP secret and the target's are the same for {whom}, which lets anybody answer with our own words"
                ),
                format!("change one of them with `{modify}`"),
            );
        }
        Ok(Some(Credentials {
            name: chap.name.unwrap_or_else(|| self.initiator.name.clone()),
            secret,
            mutual,
            algorithms: chap.algorithms.unwrap_or_else(all_algorithms),
        }))
    }

    /// The settings as they are shown: without secrets.
    pub fn chap_shown(&self, secrets: &Secrets, target: Option<&str>) -> ipc::Chap {
        let (chap, stored) = self.chap_for(secrets, target);
        if chap.enabled == Some(false) {
            return ipc::Chap::default();
        }
        ipc::Chap {
            name: chap.name,
            secret_set: stored.secret.is_some(),
            mutual_name: chap.mutual_name,
            mutual_secret_set: stored.mutual_secret.is_some(),
            algorithms: chap.algorithms.unwrap_or_else(all_algorithms),
        }
    }

    /// The target's own, and the initiator's where it has none.
    fn chap_for(&self, secrets: &Secrets, target: Option<&str>) -> (ChapSettings, NodeSecrets) {
        let common = (self.initiator.chap.clone(), secrets.initiator.clone());
        let Some((name, target)) = target.and_then(|name| Some((name, self.targets.get(name)?))) else {
            return common;
        };
        let (chap, own) = (target.chap.clone(), secrets.targets.get(name).cloned().unwrap_or_default());
        let settings = ChapSettings {
            enabled: chap.enabled.or(common.0.enabled),
            name: chap.name.or(common.0.name),
            mutual_name: chap.mutual_name.or(common.0.mutual_name),
            algorithms: chap.algorithms.or(common.0.algorithms),
        };
        let stored = NodeSecrets {
            secret: own.secret.or(common.1.secret),
            mutual_secret: own.mutual_secret.or(common.1.mutual_secret),
        };
        (settings, stored)
    }

    fn has_own_chap(&self, secrets: &Secrets, target: &str) -> bool {
        secrets.has(target) || self.targets.get(target).is_some_and(|target| target.chap != ChapSettings::default())
    }
}

fn all_algorithms() -> Vec<String> {
    ALGORITHMS.map(str::to_owned).to_vec()
}
