//! Tokens of ServiceAccounts for pods: what is asked for, when it is renewed, and what is held meanwhile.
//!
//! A token is held in memory only. After a restart every pod gets a new one, as in Kubernetes.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use base::env;
use k8s_openapi::api::core::v1::{Pod, ServiceAccountTokenProjection};
use parking_lot::Mutex;

use crate::error::Error;
use crate::pod::mounted_volumes;

/// A token older than this is renewed however long it is good for. From Kubernetes' token manager.
const AGE_MS_MAX: u64 = 24 * 60 * 60 * 1000;

/// The part of its life at whose beginning a token is renewed, counted from the end, in percent.
const LAST_PERCENT: u64 = 20;

/// Renewals come up to this much earlier, so that not all pods of a node ask at once.
const JITTER_MS_MAX: u64 = 10_000;

/// How long to stay with a token that is still good after the masters refused to renew it.
const RETRY_MS: u64 = 10_000;

/// How long a token is asked to live where the pod does not say: the API's default.
const LIFETIME_SECONDS: i64 = 3600;

/// One token that a pod asks for: the fields of a TokenRequest bound to the pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenRequest {
    /// The pod's uid.
    pub pod_uid: String,
    /// The pod's name.
    pub pod_name: String,
    /// The namespace of both.
    pub namespace: String,
    /// The ServiceAccount.
    pub service_account: String,
    /// Whom it is for; nothing means the masters.
    pub audience: Option<String>,
    /// How long it should live.
    pub expiration_seconds: i64,
}

/// A token that was issued.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// What is shown to the masters.
    pub token: String,
    /// Milliseconds since the Unix epoch at which it ends.
    pub expires_ms: u64,
    /// How long it lives in all, as the answer says.
    pub lifetime_seconds: u64,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("expires_ms", &self.expires_ms).finish_non_exhaustive()
    }
}

/// Who issues tokens: the masters, through the TokenRequest of the ServiceAccount.
#[async_trait]
pub trait TokenSource: Send + Sync {
    /// A new token.
    ///
    /// # Errors
    /// The message of the masters' refusal, or why they could not be asked.
    async fn request(&self, request: &TokenRequest) -> Result<Token, String>;
}

/// The tokens that the mounted volumes of a pod hold.
pub fn tokens(pod: &Pod) -> Vec<TokenRequest> {
    let volumes = pod.spec.as_ref().map(mounted_volumes).unwrap_or_default();
    let projected = volumes.iter().filter_map(|volume| volume.projected.as_ref()?.sources.as_ref());
    let sources = projected.flatten().filter_map(|source| source.service_account_token.as_ref());
    sources.map(|source| request_for(pod, source)).collect()
}

/// What is asked for one source.
pub(crate) fn request_for(pod: &Pod, source: &ServiceAccountTokenProjection) -> TokenRequest {
    let (meta, account) =
        (&pod.metadata, pod.spec.as_ref().and_then(|spec| spec.service_account_name.clone()));
    TokenRequest {
        pod_uid: meta.uid.clone().unwrap_or_default(),
        pod_name: meta.name.clone().unwrap_or_default(),
        namespace: meta.namespace.clone().unwrap_or_default(),
        service_account: account.unwrap_or_default(),
        audience: source.audience.clone().filter(|audience| !audience.is_empty()),
        expiration_seconds: source.expiration_seconds.unwrap_or(LIFETIME_SECONDS),
    }
}

/// When a token is to be renewed, in milliseconds since the Unix epoch: after four fifths of its life, or after
/// a day, whichever comes first; by `jitter_ms` earlier.
pub fn renew_at_ms(token: &Token, jitter_ms: u64) -> u64 {
    let issued_ms = token.expires_ms.saturating_sub(token.lifetime_seconds * 1000);
    let last_ms = token.lifetime_seconds * LAST_PERCENT / 100 * 1000;
    let late = token.expires_ms.saturating_sub(last_ms);
    late.min(issued_ms + AGE_MS_MAX).saturating_sub(jitter_ms)
}

/// The tokens for a pod's volumes, and when to come again.
#[derive(Debug, Default)]
pub(crate) struct Issued {
    /// What each request got.
    pub(crate) tokens: BTreeMap<TokenRequest, Result<String, Error>>,
    /// The earliest renewal.
    pub(crate) renew_at_ms: Option<u64>,
}

/// The tokens of all pods of the node.
pub(crate) struct Tokens {
    source: Arc<dyn TokenSource>,
    held: Mutex<BTreeMap<TokenRequest, Held>>,
}

#[derive(Clone)]
struct Held {
    token: Token,
    renew_at_ms: u64,
}

impl Tokens {
    pub(crate) fn new(source: Arc<dyn TokenSource>) -> Self {
        Self { source, held: Mutex::default() }
    }

    /// Held ones, or new ones where it is time.
    pub(crate) async fn issue(&self, requests: Vec<TokenRequest>) -> Issued {
        let mut issued = Issued::default();
        for request in requests {
            let held = self.one(&request).await;
            if let Ok(held) = &held {
                let earliest = issued.renew_at_ms.unwrap_or(held.renew_at_ms).min(held.renew_at_ms);
                issued.renew_at_ms = Some(earliest);
            }
            issued.tokens.insert(request, held.map(|held| held.token.token));
        }
        issued
    }

    async fn one(&self, request: &TokenRequest) -> Result<Held, Error> {
        let held = self.held.lock().get(request).cloned();
        if let Some(held) = held.clone().filter(|held| env::wall_ms() < held.renew_at_ms) {
            return Ok(held);
        }
        let renewed = match (self.source.request(request).await, held) {
            (Ok(token), _) => {
                let renew_at_ms = renew_at_ms(&token, env::random_u64() % JITTER_MS_MAX);
                Held { token, renew_at_ms }
            }
            (Err(why), None) => return Err(Error::Token(why)),
            (Err(why), Some(held)) if held.token.expires_ms <= env::wall_ms() => {
                let account = format!("{}/{}", request.namespace, request.service_account);
                tracing::warn!(account, why, "a token ran out and was not renewed");
                return Err(Error::TokenExpired { account, why });
            }
            (Err(why), Some(held)) => {
                tracing::warn!(pod = request.pod_name, why, "a token was not renewed: the old one stays");
                Held { renew_at_ms: env::wall_ms() + RETRY_MS, ..held }
            }
        };
        self.held.lock().insert(request.clone(), renewed.clone());
        Ok(renewed)
    }

    /// Forgets the tokens of a pod that is gone.
    pub(crate) fn forget(&self, pod_uid: &str) {
        self.held.lock().retain(|request, _| request.pod_uid != pod_uid);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn token(expires_ms: u64, lifetime_seconds: u64) -> Token {
        Token { token: format!("until {expires_ms}"), expires_ms, lifetime_seconds }
    }

    #[test]
    fn renewal_comes_after_four_fifths_or_a_day() {
        const HOUR_MS: u64 = 3_600_000;
        // Issued at 100 hours; when, in minutes after that?
        let cases =
            [(1, 0, 48), (10, 0, 480), (30, 0, 1440), (31, 0, 1440), (1000, 0, 1440), (1, 60_000, 47)];
        for (hours, jitter_ms, minutes) in cases {
            let issued = 100 * HOUR_MS;
            let at = renew_at_ms(&token(issued + hours * HOUR_MS, hours * 3600), jitter_ms);
            assert_eq!(at, issued + minutes * 60_000, "{hours} h");
        }
        assert_eq!(renew_at_ms(&token(5, 600), 10_000), 0);
    }

    /// Issues tokens for an hour while it is open.
    #[derive(Default)]
    struct Masters {
        refusal: Mutex<Option<String>>,
        asked: Mutex<u64>,
    }

    #[async_trait]
    impl TokenSource for Masters {
        async fn request(&self, request: &TokenRequest) -> Result<Token, String> {
            *self.asked.lock() += 1;
            let lifetime = request.expiration_seconds.cast_unsigned();
            let refusal = self.refusal.lock().clone();
            refusal.map_or_else(|| Ok(token(env::wall_ms() + lifetime * 1000, lifetime)), Err)
        }
    }

    #[test]
    fn a_token_is_held_renewed_and_kept_while_it_is_good() {
        env::simulate(1, async {
            let masters = Arc::new(Masters::default());
            let tokens = Tokens::new(masters.clone());
            let request = TokenRequest {
                pod_uid: "u".into(),
                pod_name: "p".into(),
                namespace: "ns".into(),
                service_account: "robot".into(),
                audience: None,
                expiration_seconds: 3600,
            };
            let issue = async || tokens.issue(vec![request.clone()]).await;
            let shown = |issued: &Issued| issued.tokens[&request].clone();

            let first = issue().await;
            let renew_at_ms = first.renew_at_ms.unwrap();
            env::sleep(Duration::from_secs(47 * 60)).await;
            assert_eq!(shown(&issue().await), shown(&first));
            assert_eq!(*masters.asked.lock(), 1);

            // It is time, but the masters refuse: the old one stays, and they are not asked at once again.
            env::sleep(Duration::from_secs(2 * 60)).await;
            assert!(env::wall_ms() > renew_at_ms);
            *masters.refusal.lock() = Some("too busy".to_owned());
            let kept = issue().await;
            assert_eq!(shown(&kept), shown(&first));
            assert_eq!(kept.renew_at_ms, Some(env::wall_ms() + RETRY_MS));
            issue().await;
            assert_eq!(*masters.asked.lock(), 2);

            env::sleep(Duration::from_secs(12 * 60)).await;
            let expired = "token ns/robot expired and refresh failed: too busy";
            assert_eq!(shown(&issue().await).unwrap_err().to_string(), expired);

            *masters.refusal.lock() = None;
            let renewed = issue().await;
            assert_ne!(shown(&renewed), shown(&first));
            assert!(shown(&renewed).is_ok());

            // What was forgotten is asked for anew, and refused without one to stay with.
            tokens.forget("u");
            *masters.refusal.lock() = Some("serviceaccounts \"robot\" not found".to_owned());
            let error = shown(&issue().await).unwrap_err().to_string();
            assert_eq!(error, "failed to fetch token: serviceaccounts \"robot\" not found");
        });
    }
}
