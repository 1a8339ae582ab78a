//! The kubeconfig that a cluster leaves behind: certificates embedded, a context per address.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::pki::{ADMIN_USER, Credentials};

/// One way to reach the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// Name of the context and of its cluster entry.
    pub name: String,
    /// `https://HOST:PORT`
    pub server: String,
}

/// The text of a kubeconfig whose current context is the first of `contexts`. Names and servers are
/// master names and URLs: nothing that YAML would need quoted.
pub fn render(contexts: &[Context], authority_pem: &str, admin: &Credentials) -> String {
    let mut text = String::from("apiVersion: v1\nkind: Config\n");
    let current = contexts.first().map_or("", |context| context.name.as_str());
    let authority = STANDARD.encode(authority_pem);
    // Writing to a String cannot fail.
    let _ = writeln!(text, "current-context: {current}\nclusters:");
    for Context { name, server } in contexts {
        let _ = writeln!(text, "- name: {name}\n  cluster:\n    server: {server}");
        let _ = writeln!(text, "    certificate-authority-data: {authority}");
    }
    let _ = writeln!(text, "contexts:");
    for Context { name, .. } in contexts {
        let _ = writeln!(text, "- name: {name}\n  context:\n    cluster: {name}\n    user: {ADMIN_USER}");
    }
    let _ = writeln!(text, "users:\n- name: {ADMIN_USER}\n  user:");
    let _ = writeln!(text, "    client-certificate-data: {}", STANDARD.encode(&admin.chain_pem));
    let _ = writeln!(text, "    client-key-data: {}", STANDARD.encode(&admin.key_pem));
    text
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn rendered() -> String {
        let context = |name: &str, server: &str| Context { name: name.to_owned(), server: server.to_owned() };
        let contexts =
            [context("keelson", "https://10.130.7.1:6443"), context("master-1", "https://10.130.7.11:6443")];
        let admin = Credentials { chain_pem: "chain".to_owned(), key_pem: "key".to_owned() };
        render(&contexts, "authority", &admin)
    }

    #[test]
    fn golden() {
        expect![[r"
            apiVersion: v1
            kind: Config
            current-context: keelson
            clusters:
            - name: keelson
              cluster:
                server: https://10.130.7.1:6443
                certificate-authority-data: YXV0aG9yaXR5
            - name: master-1
              cluster:
                server: https://10.130.7.11:6443
                certificate-authority-data: YXV0aG9yaXR5
            contexts:
            - name: keelson
              context:
                cluster: keelson
                user: kubernetes-admin
            - name: master-1
              context:
                cluster: master-1
                user: kubernetes-admin
            users:
            - name: kubernetes-admin
              user:
                client-certificate-data: Y2hhaW4=
                client-key-data: a2V5
        "]]
        .assert_eq(&rendered());
    }

    #[test]
    fn it_is_yaml() {
        let parsed: serde_json::Value = serde_yaml_ng::from_str(&rendered()).expect("yaml");
        assert_eq!(parsed["contexts"][1]["context"]["cluster"], "master-1");
        assert_eq!(parsed["users"][0]["user"]["client-key-data"], "a2V5");
    }
}
