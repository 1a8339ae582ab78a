//! The hash by which the ReplicaSets of a deployment are told apart.

use serde_json::Value;

/// The label that carries it.
pub(super) const HASH_LABEL: &str = "pod-template-hash";

/// No vowels and nothing that looks like one: no words come of it. As Kubernetes does.
const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// How many letters it has.
const LENGTH: usize = 10;

/// The hash of a template: stable, fit for a name and a label. `collisions` counts those whose name was taken.
pub(super) fn hash(template: &Value, collisions: i64) -> String {
    let mut sum = Fnv::default();
    sum.value(template);
    if collisions > 0 {
        sum.bytes(&collisions.to_le_bytes());
    }
    let mut rest = sum.0;
    let letters = (0..LENGTH).map(|_| {
        let letter = LETTERS[(rest % LETTERS.len() as u64) as usize];
        rest /= LETTERS.len() as u64;
        char::from(letter)
    });
    letters.collect()
}

/// FNV-1a of 64 bits.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// Members by name: the order in which they are written says nothing.
    fn value(&mut self, value: &Value) {
        match value {
            Value::Object(members) => {
                let mut names: Vec<&String> = members.keys().collect();
                names.sort_unstable();
                self.bytes(b"{");
                for name in names {
                    self.bytes(name.as_bytes());
                    self.bytes(b"\0");
                    self.value(&members[name]);
                }
                self.bytes(b"}");
            }
            Value::Array(items) => {
                self.bytes(b"[");
                items.iter().for_each(|item| self.value(item));
                self.bytes(b"]");
            }
            other => {
                self.bytes(other.to_string().as_bytes());
                self.bytes(b"\0");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::hash;

    #[test]
    fn a_hash_stays_whatever_the_order_of_members() {
        let one = json!({"metadata": {"labels": {"a": "1", "b": "2"}}, "spec": {"x": [1, 2]}});
        let same = json!({"spec": {"x": [1, 2]}, "metadata": {"labels": {"b": "2", "a": "1"}}});
        assert_eq!(hash(&one, 0), "srjc2tfqlb");
        assert_eq!(hash(&same, 0), hash(&one, 0));
        assert_ne!(hash(&one, 1), hash(&one, 0));
        assert_ne!(hash(&one, 2), hash(&one, 1));
        assert_ne!(hash(&json!({"spec": {"x": [12]}}), 0), hash(&json!({"spec": {"x": [1, 2]}}), 0));
    }
}
