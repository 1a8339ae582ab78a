//! What ran beside the loop of a pod, and what its end means.

use std::sync::Arc;

use base::env;
use k8s_openapi::api::core::v1::PodStatus;

use super::{Shared, Worker};
use crate::credentials;
use crate::engine::{Credentials, EngineError, Image};
use crate::image_name;
use crate::limits::RETRY_MS;
use crate::outside::ControlError;
use crate::pod::{DesiredPod, Member};
use crate::probe::ProbeKind;
use crate::prober::ProbeResult;
use crate::records::{Failure, Hook, HookState, ImageFailure, ImageRecord, ImageState};
use crate::time::span;

/// What ended.
pub(super) enum Outcome {
    /// A status was reported, or not.
    Reported { status: Box<PodStatus>, result: Result<(), ControlError> },
    /// The image of a start is there, or not.
    Image { container: String, attempt: u32, result: Result<Image, ImageError> },
    /// A hook ran.
    Hook { container: String, id: String, hook: Hook, result: Result<(), String> },
    /// A probe ran.
    Probe { container: String, id: String, kind: ProbeKind, result: ProbeResult },
    /// What it was for is not there any more.
    Nothing,
}

/// Why an image is not there.
pub(super) enum ImageError {
    /// The engine was out of reach: nothing is known.
    Unknown,
    /// It must not be pulled, and nobody has.
    NeverPulled,
    /// What is asked for is no name.
    InvalidName(String),
    /// The engine could not look.
    Inspect(String),
    /// Its registry did not give it.
    Pull(String),
}

/// Looks for an image, and pulls it where the policy says so.
pub(super) async fn ensure_image(
    shared: Arc<Shared>,
    desired: Arc<DesiredPod>,
    member: Member,
    attempt: u32,
) -> Outcome {
    let result = find_or_pull(&shared, &desired, &member).await;
    Outcome::Image { container: member.name().to_owned(), attempt, result }
}

async fn find_or_pull(shared: &Shared, desired: &DesiredPod, member: &Member) -> Result<Image, ImageError> {
    let name = member.image();
    let tell = |is_warning, reason, message| {
        let field_path = Some(DesiredPod::field_path(member));
        let event = crate::outside::Event { field_path, is_warning, reason, message };
        shared.control.record_event(&desired.key, event);
    };
    if let Err(error) = image_name::check(name) {
        let message = format!(
            "Failed to apply default image tag {name:?}: couldn't parse image name {name:?}: {error}"
        );
        tell(true, "InspectFailed", message.clone());
        return Err(ImageError::InvalidName(message));
    }
    let policy = member.container.image_pull_policy.as_deref().unwrap_or("IfNotPresent");
    if policy != "Always" {
        let found = shared.engine.image(name).await.map_err(|error| {
            if error.is_unreachable() {
                return ImageError::Unknown;
            }
            let message = format!("Failed to inspect image {name:?}: {error}");
            tell(true, "InspectFailed", message.clone());
            ImageError::Inspect(message)
        })?;
        if let Some(image) = found {
            let place = "already present on machine and can be accessed by the pod";
            tell(false, "Pulled", format!("Container image {name:?} {place}"));
            return Ok(image);
        }
        if policy == "Never" {
            return Err(ImageError::NeverPulled);
        }
    }
    tell(false, "Pulling", format!("Pulling image {name:?}"));
    let waiting_since = env::monotonic();
    let _permit = shared.pulls.acquire().await;
    let since = env::monotonic();
    let account = account(shared, desired, name).await;
    match shared.engine.pull(name, account.as_ref()).await {
        Ok(image) => {
            let took = |since: env::Instant| span(u64::try_from(since.elapsed().as_millis()).unwrap_or(0));
            tell(
                false,
                "Pulled",
                format!(
                    "Successfully pulled image {name:?} in {} ({} including waiting). Image size: {} bytes.",
                    took(since),
                    took(waiting_since),
                    image.size_bytes
                ),
            );
            Ok(image)
        }
        Err(EngineError::Unreachable(_)) => Err(ImageError::Unknown),
        Err(error) => {
            tell(true, "Failed", format!("Failed to pull image {name:?}: {error}"));
            Err(ImageError::Pull(error.to_string()))
        }
    }
}

/// The account of the pod's secrets for this image. A secret that is missing may not be needed.
async fn account(shared: &Shared, desired: &DesiredPod, image: &str) -> Option<Credentials> {
    let mut documents = Vec::new();
    for reference in desired.spec().image_pull_secrets.iter().flatten() {
        if let Ok(secret) = shared.control.secret(&desired.key.namespace, &reference.name).await {
            let document = secret.data.and_then(|mut data| data.remove(".dockerconfigjson"));
            documents.extend(document.map(|document| document.0));
        }
    }
    credentials::find(image, &documents)
}

impl Worker {
    /// Notes what ended.
    pub(super) fn absorb(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Reported { status, result } => self.reported(*status, result),
            Outcome::Image { container, attempt, result } => self.image(container, attempt, result),
            Outcome::Hook { container, id, hook, result } => self.hook(&container, id, hook, result),
            Outcome::Probe { container, id, kind, result } => self.probe(&container, id, kind, result),
            Outcome::Nothing => {}
        }
    }

    fn image(&mut self, container: String, attempt: u32, result: Result<Image, ImageError>) {
        let desired = Arc::clone(&self.desired);
        let Some(member) = desired.member(&container) else { return };
        let name = member.image();
        let now_ms = env::wall_ms();
        let waits = self.records.pull_waits.entry(name.to_owned()).or_default();
        let (reason, message, wait_ms) = match result {
            Ok(image) => {
                *waits = crate::backoff::Waits::default();
                let state = ImageState::Ready(image);
                self.records.images.insert(container, ImageRecord { attempt, state });
                return;
            }
            Err(ImageError::Unknown) => {
                self.records.images.remove(&container);
                return;
            }
            Err(ImageError::NeverPulled) => {
                let message = format!("Container image {name:?} is not present with pull policy of Never");
                self.tell_of(member, true, "ErrImageNeverPull", message.clone());
                ("ErrImageNeverPull", message, RETRY_MS)
            }
            Err(ImageError::InvalidName(message)) => ("InvalidImageName", message, RETRY_MS),
            Err(ImageError::Inspect(message)) => ("ImageInspectError", message, RETRY_MS),
            Err(ImageError::Pull(message)) => ("ErrImagePull", message, waits.fail(now_ms)),
        };
        self.tell_of(member, true, "Failed", format!("Error: {reason}"));
        let failure = ImageFailure { reason, message, failed_ms: now_ms, retry_ms: now_ms + wait_ms };
        let state = ImageState::Failed(failure);
        self.records.images.insert(container, ImageRecord { attempt, state });
    }

    fn hook(&mut self, container: &str, id: String, hook: Hook, result: Result<(), String>) {
        let desired = Arc::clone(&self.desired);
        let Some(member) = desired.member(container) else { return };
        let state = match (hook, result) {
            (_, Ok(())) => HookState::Done,
            // What it said may hold secrets: it is in the status, not in an event.
            (Hook::PostStart, Err(message)) => {
                self.tell_of(member, true, "FailedPostStartHook", "PostStartHook failed".to_owned());
                let failure = Failure { reason: "PostStartHookError", message, retry_ms: env::wall_ms() };
                self.records.failures.insert(container.to_owned(), failure);
                HookState::Failed
            }
            (Hook::PreStop, Err(_)) => {
                self.tell_of(member, true, "FailedPreStopHook", "PreStopHook failed".to_owned());
                HookState::Done
            }
        };
        self.records.hooks.insert((id, hook), state);
    }

    fn probe(&mut self, container: &str, id: String, kind: ProbeKind, result: ProbeResult) {
        let desired = Arc::clone(&self.desired);
        let Some(member) = desired.member(container) else { return };
        // A container that went while it was asked has no probe any more.
        let Some(state) = self.records.probes.get(&(id.clone(), kind)).copied() else { return };
        let title = kind.title();
        let warn = |reason, message| self.tell_of(member, true, reason, message);
        let is_good = match result {
            ProbeResult::Success => Some(true),
            ProbeResult::Warning(output) => {
                warn("ProbeWarning", format!("{title} probe warning: {output}"));
                Some(true)
            }
            ProbeResult::Failure(output) => {
                warn("Unhealthy", format!("{title} probe failed: {output}"));
                Some(false)
            }
            ProbeResult::Errored(error) => {
                warn("Unhealthy", format!("{title} probe errored and resulted in unknown state: {error}"));
                None
            }
        };
        let next = match (is_good, kind.of(member)) {
            (Some(is_good), Some(probe)) => state.end(kind, probe, is_good),
            _ => state.drop_result(),
        };
        self.records.probes.insert((id, kind), next);
    }
}
