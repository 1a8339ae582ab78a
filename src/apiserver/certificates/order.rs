//! What is to be signed.

use std::time::Duration;

/// How long a certificate is good unless the request asks for less.
const LIFETIME_MAX: Duration = Duration::from_secs(365 * 86_400);

/// The shortest lifetime: twice [`BACKDATE`].
const LIFETIME_MIN: Duration = Duration::from_secs(600);

/// How far a certificate's start lies in the past, for clocks that differ.
const BACKDATE: Duration = Duration::from_secs(300);

/// What lives shorter than this is not backdated at its end, as in Kubernetes.
const SHORT: Duration = Duration::from_secs(8 * 3_600);

/// What a certificate may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Usage {
    ClientAuth,
    DigitalSignature,
    KeyEncipherment,
    ServerAuth,
}

impl Usage {
    /// By the API's word for it; `None`: one that nobody here signs for.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "client auth" => Self::ClientAuth,
            "digital signature" => Self::DigitalSignature,
            "key encipherment" => Self::KeyEncipherment,
            "server auth" => Self::ServerAuth,
            _ => return None,
        })
    }
}

/// An order for a certificate: subject, names and key are those of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The request, DER.
    pub request: Vec<u8>,
    /// What the certificate is for.
    pub usages: Vec<Usage>,
    /// How long it is to be good, if the request says.
    pub lifetime: Option<Duration>,
}

impl Order {
    /// From when until when the certificate is good that is signed at `now_ms`, in milliseconds since the epoch.
    /// It does not outlive the authority, which the signer sees to.
    pub fn validity_ms(&self, now_ms: u64) -> (u64, u64) {
        let lifetime = self.lifetime.unwrap_or(LIFETIME_MAX).clamp(LIFETIME_MIN, LIFETIME_MAX);
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let cut = if lifetime < SHORT { Duration::ZERO } else { BACKDATE };
        (now_ms.saturating_sub(ms(BACKDATE)), now_ms + ms(lifetime - cut))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_a_certificate_is_good() {
        const NOW: u64 = 1_000_000_000;
        let year = 365 * 86_400;
        // Seconds asked for, and seconds from now to the end.
        let cases = [
            (None, year - 300),
            (Some(10 * year), year - 300),
            (Some(86_400), 86_400 - 300),
            (Some(3_600), 3_600),
            (Some(1), 600),
        ];
        for (asked, expect) in cases {
            let lifetime = asked.map(Duration::from_secs);
            let order = Order { request: Vec::new(), usages: Vec::new(), lifetime };
            assert_eq!(order.validity_ms(NOW), (NOW - 300_000, NOW + expect * 1000), "{asked:?}");
        }
    }
}
