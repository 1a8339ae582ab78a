//! Tokens of service accounts, from being asked for to being refused.

use std::sync::Arc;

use api::{Key, time};
use base::env;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::{Value, json};
use state::{State, Write};

use super::Api;
use crate::Backend;
use crate::bootstrap::agent_token;
use crate::tokens::{API_AUDIENCES, ISSUER, Tokens, keys};
use crate::verbs::write::transaction;

const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";
const PODS: &str = "/api/v1/namespaces/default/pods";
const NODES: &str = "/api/v1/nodes";
const WHOAMI: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
const REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
const HOUR_MS: u64 = 3_600_000;

/// A cluster with an account `robot`, a node `n` and a pod `p` of the account there.
async fn cluster() -> Api {
    let api = Api::founded();
    assert_eq!(api.post(ACCOUNTS, json!({"metadata": {"name": "robot"}})).await.code, 201);
    assert_eq!(api.post(NODES, json!({"metadata": {"name": "n"}})).await.code, 201);
    let spec = json!({
        "serviceAccountName": "robot", "nodeName": "n", "containers": [{"name": "c", "image": "i"}],
    });
    assert_eq!(api.post(PODS, json!({"metadata": {"name": "p"}, "spec": spec})).await.code, 201);
    api
}

async fn issue(api: &Api, spec: Value) -> String {
    let answer = api.post(&format!("{ACCOUNTS}/robot/token"), json!({"spec": spec})).await;
    assert_eq!(answer.code, 201, "{answer:?}");
    answer.body["status"]["token"].as_str().expect("a token").to_owned()
}

/// A part of a token, read.
fn part(token: &str, at: usize) -> Value {
    let text = token.split('.').nth(at).expect("a part");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).expect("base64")).expect("JSON")
}

fn encoded(part: &Value) -> String {
    URL_SAFE_NO_PAD.encode(part.to_string())
}

fn state(api: &Api) -> State {
    api.memory.moment().state.clone()
}

#[tokio::test(start_paused = true)]
async fn a_token_says_what_it_is_bound_to_and_its_holder_is_known_by_it() {
    let api = cluster().await;
    let bound = json!({"apiVersion": "v1", "kind": "Pod", "name": "p"});
    let answer = api
        .post(
            &format!("{ACCOUNTS}/robot/token"),
            json!({"spec": {"boundObjectRef": bound, "expirationSeconds": 600}}),
        )
        .await;
    let token = answer.body["status"]["token"].as_str().expect("a token");
    let claims = part(token, 1);
    let uid = async |path: &str| api.get(path).await.body["metadata"]["uid"].clone();
    let (robot, pod) = (uid(&format!("{ACCOUNTS}/robot")).await, uid(&format!("{PODS}/p")).await);
    let node = uid(&format!("{NODES}/n")).await;
    let expect = json!({
        "namespace": "default", "node": {"name": "n", "uid": node}, "pod": {"name": "p", "uid": pod},
        "serviceaccount": {"name": "robot", "uid": robot},
    });
    assert_eq!(claims["kubernetes.io"], expect);
    let told = (&claims["iss"], &claims["aud"], &claims["sub"]);
    assert_eq!(told, (&json!(ISSUER), &json!([ISSUER]), &json!("system:serviceaccount:default:robot")));
    let (from, until) = (claims["iat"].as_u64().expect("iat"), claims["exp"].as_u64().expect("exp"));
    assert_eq!((&claims["nbf"], until), (&json!(from), from + 600));
    assert_eq!(answer.body["status"]["expirationTimestamp"], time::rfc3339(until * 1000));
    let key = &crate::tokens::keys::set(&state(&api))["keys"][0]["kid"];
    assert_eq!(part(token, 0), json!({"alg": "ES256", "kid": key}));

    let who = api.ask_with(token, "POST", WHOAMI, json!({})).await;
    let expect = json!({
        "username": "system:serviceaccount:default:robot",
        "uid": robot,
        "groups": ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"],
        "extra": {
            "authentication.kubernetes.io/credential-id": [format!("JTI={}", claims["jti"].as_str().expect("jti"))],
            "authentication.kubernetes.io/node-name": ["n"],
            "authentication.kubernetes.io/node-uid": [node],
            "authentication.kubernetes.io/pod-name": ["p"],
            "authentication.kubernetes.io/pod-uid": [pod],
        },
    });
    assert_eq!(who.body["status"]["userInfo"], expect, "{who:?}");
    let maps = api.ask_with(token, "GET", super::MAPS, Value::Null).await;
    assert_eq!(
        maps.failure(),
        (
            403,
            r#"configmaps is forbidden: User "system:serviceaccount:default:robot" cannot list resource "configmaps" in API group "" in the namespace "default""#
        )
    );
    let nothing = api.ask_with("nonsense", "GET", "/version", Value::Null).await;
    assert_eq!(nothing.failure(), (401, "Unauthorized"));
}

#[tokio::test(start_paused = true)]
async fn tokens_that_are_not_issued() {
    let api = cluster().await;
    let secret = json!({"metadata": {"name": "s"}, "stringData": {"a": "b"}});
    api.post("/api/v1/namespaces/default/secrets", secret).await;
    api.post(ACCOUNTS, json!({"metadata": {"name": "other"}})).await;
    let bound =
        |kind: &str, name: &str| json!({"boundObjectRef": {"apiVersion": "v1", "kind": kind, "name": name}});
    let cases = [
        (
            "robot",
            json!({"expirationSeconds": 599}),
            r#"422 TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 10 minutes"#,
        ),
        (
            "robot",
            json!({"expirationSeconds": 4_294_967_297_u64}),
            r#"422 TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 4294967297: may not specify a duration larger than 2^32 seconds"#,
        ),
        ("nobody", json!({}), r#"404 serviceaccounts "nobody" not found"#),
        ("robot", bound("Pod", "x"), r#"404 pods "x" not found"#),
        (
            "other",
            bound("Pod", "p"),
            r#"400 cannot bind token for serviceaccount "other" to pod running with different serviceaccount name."#,
        ),
        ("robot", bound("Service", "x"), "400 cannot bind token to object of type /v1, Kind=Service"),
        (
            "robot",
            json!({"boundObjectRef": {"apiVersion": "v1", "kind": "Secret", "name": "s", "uid": "other"}}),
            r#"409 Operation cannot be fulfilled on Secret "s": the UID in the bound object reference (other) does not match the UID in record. The object might have been deleted and then recreated"#,
        ),
    ];
    for (account, spec, expect) in cases {
        let answer = api.post(&format!("{ACCOUNTS}/{account}/token"), json!({"spec": spec})).await;
        let (code, message) = answer.failure();
        assert_eq!(format!("{code} {message}"), expect);
    }
    let long = api
        .post(&format!("{ACCOUNTS}/robot/token"), json!({"spec": {"expirationSeconds": 40_000_000}}))
        .await;
    let warned = "299 - \"requested expiration of 40000000 seconds shortened to 31536000 seconds\"";
    assert_eq!((long.code, &*long.warnings), (201, &[warned.to_owned()][..]));
    assert_eq!(long.body["spec"]["expirationSeconds"], 31_536_000);
}

/// Tokens that look like `token` and are not it.
fn forgeries(token: &str, public: &[u8]) -> Vec<(&'static str, String)> {
    let parts: Vec<&str> = token.split('.').collect();
    let mut claims = part(token, 1);
    claims["sub"] = "system:serviceaccount:kube-system:root".into();
    let (header, other_claims) = (part(token, 0), encoded(&claims));
    let with = |alg: &str| encoded(&json!({"alg": alg, "kid": header["kid"]}));
    let confused = format!("{}.{}", with("HS256"), parts[1]);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, public), confused.as_bytes());
    let tag = URL_SAFE_NO_PAD.encode(tag);
    let critical = encoded(&json!({"alg": "ES256", "kid": header["kid"], "crit": ["x"]}));
    vec![
        ("other claims", format!("{}.{other_claims}.{}", parts[0], parts[2])),
        ("no algorithm", format!("{}.{}.", with("none"), parts[1])),
        ("no algorithm, a signature", format!("{}.{}.{}", with("none"), parts[1], parts[2])),
        ("the public key as a secret", format!("{confused}.{tag}")),
        ("a header that may mean anything", format!("{critical}.{}.{}", parts[1], parts[2])),
        ("no signature", format!("{}.{}.", parts[0], parts[1])),
        ("another's signature", format!("{}.{}.{}", parts[0], parts[1], URL_SAFE_NO_PAD.encode([7; 64]))),
        ("not three parts", format!("{token}.x")),
    ]
}

#[tokio::test(start_paused = true)]
async fn forged_tokens_are_refused() {
    let api = cluster().await;
    let token = issue(&api, json!({})).await;
    let (state, tokens) = (state(&api), Tokens::default());
    let key = part(&token, 0)["kid"].as_str().expect("kid").to_owned();
    let public = keys::public(&state, &key).expect("a key");
    for (what, forged) in forgeries(&token, &public) {
        // Also beside a good one that is remembered.
        for tokens in [&Tokens::default(), &tokens] {
            let refused = tokens.identify(&forged, API_AUDIENCES, &state, env::wall_ms());
            let refused = refused.map_err(|error| error.to_string());
            assert_eq!(refused, Err("invalid bearer token".to_owned()), "{what}");
        }
        tokens.identify(&token, API_AUDIENCES, &state, env::wall_ms()).expect("the real one is good");
    }
    let unknown = encoded(&json!({"alg": "ES256", "kid": "other"}));
    let unknown = format!("{unknown}.{}", token.split_once('.').expect("parts").1);
    let refused = tokens.identify(&unknown, API_AUDIENCES, &state, env::wall_ms()).expect_err("no such key");
    assert_eq!((&*refused.why, refused.may_change), ("invalid signature, no keys found", true));
}

#[tokio::test(start_paused = true)]
async fn a_token_counts_in_its_time_and_for_whom_it_is_meant() {
    let api = cluster().await;
    let (token, now) = (issue(&api, json!({})).await, env::wall_ms());
    let elsewhere = issue(&api, json!({"audiences": ["vault"]})).await;
    let (state, tokens) = (state(&api), Tokens::default());
    let of_others = format!("token audiences [\"vault\"] is invalid for the target audiences [\"{ISSUER}\"]");
    let cases = [
        (&token, API_AUDIENCES, now, Ok(vec![ISSUER])),
        (&token, &["a", ISSUER][..], now, Ok(vec![ISSUER])),
        (&token, API_AUDIENCES, now + HOUR_MS, Ok(vec![ISSUER])),
        (&token, API_AUDIENCES, now + 2 * HOUR_MS, Err("service account token has expired")),
        (&token, API_AUDIENCES, now - HOUR_MS, Err("service account token is not valid yet")),
        (&elsewhere, &["vault"][..], now, Ok(vec!["vault"])),
        (&elsewhere, API_AUDIENCES, now, Err(&*of_others)),
    ];
    for (token, audiences, at, expect) in cases {
        let given = tokens.identify(token, audiences, &state, at);
        let given = given.map(|known| known.audiences).map_err(|error| error.why);
        let expect = expect.map(|list| list.into_iter().map(str::to_owned).collect()).map_err(str::to_owned);
        assert_eq!(given, expect);
    }
    assert_eq!(api.ask_with(&elsewhere, "GET", "/version", Value::Null).await.code, 401);
}

#[tokio::test(start_paused = true)]
async fn a_token_goes_with_what_it_is_bound_to() {
    let api = cluster().await;
    let plain = issue(&api, json!({})).await;
    let bound = json!({"apiVersion": "v1", "kind": "Pod", "name": "p"});
    let of_pod = issue(&api, json!({"boundObjectRef": bound})).await;
    let of_node =
        issue(&api, json!({"boundObjectRef": {"apiVersion": "v1", "kind": "Node", "name": "n"}})).await;
    let tokens = Tokens::default();
    let why = |token: &str, later_ms: u64| {
        let known = tokens.identify(token, API_AUDIENCES, &state(&api), env::wall_ms() + later_ms);
        known.map(|_| ()).map_err(|error| error.why)
    };
    for token in [&plain, &of_pod, &of_node] {
        assert_eq!(why(token, 0), Ok(()));
    }
    // A pod that is deleted goes on for its grace.
    assert_eq!(api.delete(&format!("{PODS}/p?gracePeriodSeconds=30")).await.code, 200);
    assert_eq!(why(&of_pod, 80_000), Ok(()));
    assert_eq!(why(&of_pod, 100_000), Err("service account token has been invalidated".to_owned()));
    assert_eq!(api.delete(&format!("{PODS}/p?gracePeriodSeconds=0")).await.code, 200);
    assert_eq!(why(&of_pod, 0), Err("service account token has been invalidated".to_owned()));
    assert_eq!(api.delete(&format!("{NODES}/n")).await.code, 200);
    assert_eq!(why(&of_node, 0), Err("service account token has been invalidated".to_owned()));

    // Another of the same name is another.
    assert_eq!(why(&plain, 0), Ok(()));
    assert_eq!(api.delete(&format!("{ACCOUNTS}/robot")).await.code, 200);
    assert_eq!(why(&plain, 0), Err("serviceaccounts \"robot\" not found".to_owned()));
    api.post(ACCOUNTS, json!({"metadata": {"name": "robot"}})).await;
    let refused = why(&plain, 0).expect_err("another account");
    assert!(
        refused.starts_with("service account UID (") && refused.contains(") does not match claim ("),
        "{refused}"
    );
    assert_eq!(api.ask_with(&plain, "POST", WHOAMI, json!({})).await.code, 401);
}

#[tokio::test(start_paused = true)]
async fn several_keys_verify_and_the_newest_signs() {
    let api = cluster().await;
    let before = issue(&api, json!({})).await;
    let (key, write) = keys::fresh().expect("a key");
    api.memory.apply(transaction("test", Vec::new(), vec![write]));
    let after = issue(&api, json!({})).await;
    assert_eq!(part(&after, 0)["kid"], key.name());
    assert_ne!(part(&before, 0)["kid"], key.name());
    let set = api.get("/openid/v1/jwks").await;
    assert_eq!(set.body["keys"].as_array().map(Vec::len), Some(2), "{set:?}");
    for token in [&before, &after] {
        assert_eq!(api.ask_with(token, "POST", WHOAMI, json!({})).await.code, 201);
    }
    // What is taken out vouches for nothing any more, not even for what is remembered.
    let old = Key::internal("service-account-keys", part(&before, 0)["kid"].as_str().expect("kid"));
    api.memory.apply(transaction("test", Vec::new(), vec![Write::Delete { key: old }]));
    assert_eq!(api.ask_with(&before, "POST", WHOAMI, json!({})).await.code, 401);
    assert_eq!(api.ask_with(&after, "POST", WHOAMI, json!({})).await.code, 201);
}

#[tokio::test(start_paused = true)]
async fn a_master_that_lags_looks_again_before_it_refuses_a_token() {
    let api = cluster().await;
    let before = api.memory.moment();
    api.post(ACCOUNTS, json!({"metadata": {"name": "late"}})).await;
    let answer = api.post(&format!("{ACCOUNTS}/late/token"), json!({"spec": {}})).await;
    let token = answer.body["status"]["token"].as_str().expect("a token");
    api.memory.lag(before);
    assert_eq!(api.ask_with(token, "POST", WHOAMI, json!({})).await.code, 201);
    api.memory.lose_quorum();
    let unsure = api.ask_with(token, "POST", WHOAMI, json!({})).await;
    assert_eq!(unsure.code, 503, "it is not known whether the token is good: {unsure:?}");
}

#[tokio::test(start_paused = true)]
async fn reviews_tell_whose_a_token_is() {
    let api = cluster().await;
    let token = issue(&api, json!({"audiences": ["vault", ISSUER]})).await;
    let review = async |spec: Value| api.post(REVIEWS, json!({"spec": spec})).await.body["status"].clone();
    let known = review(json!({"token": token})).await;
    assert_eq!((&known["authenticated"], &known["audiences"]), (&json!(true), &json!([ISSUER])));
    assert_eq!(known["user"]["username"], "system:serviceaccount:default:robot");
    let for_vault = review(json!({"token": token, "audiences": ["x", "vault"]})).await;
    assert_eq!(for_vault["audiences"], json!(["vault"]));
    let for_nobody = review(json!({"token": token, "audiences": ["x"]})).await;
    let why = format!("token audiences [\"vault\" \"{ISSUER}\"] is invalid for the target audiences [\"x\"]");
    assert_eq!(for_nobody, json!({"user": {}, "error": why}));
}

#[tokio::test(start_paused = true)]
async fn others_find_the_keys() {
    let api = cluster().await;
    let token = issue(&api, json!({})).await;
    let document = api.ask_with(&token, "GET", "/.well-known/openid-configuration", Value::Null).await;
    let expect = json!({
        "issuer": ISSUER, "jwks_uri": format!("{ISSUER}/openid/v1/jwks"),
        "response_types_supported": ["id_token"], "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    });
    assert_eq!(document.body, expect);
    let set = api.ask_with(&token, "GET", "/openid/v1/jwks", Value::Null).await;
    let key = &set.body["keys"][0];
    assert_eq!((&key["kid"], &key["alg"]), (&part(&token, 0)["kid"], &json!("ES256")));
    let decoded = |name: &str| URL_SAFE_NO_PAD.decode(key[name].as_str().expect("text")).expect("base64");
    let point = [vec![4], decoded("x"), decoded("y")].concat();
    let (signed, signature) = token.rsplit_once('.').expect("parts");
    let public = ring::signature::UnparsedPublicKey::new(&ring::signature::ECDSA_P256_SHA256_FIXED, point);
    let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64");
    public.verify(signed.as_bytes(), &signature).expect("the key that is told verifies the token");
    let anonymous = super::answer(api.send_as(None, "GET", "/openid/v1/jwks", &[], "").await).await;
    assert_eq!(anonymous.code, 403);
}

#[tokio::test(start_paused = true)]
async fn bootstrap_tokens_know_their_time_and_their_groups() {
    const TOKEN: &str = "abc123.0123456789abcdef";
    let api = Api::founded();
    api.memory.apply(agent_token("abc123", "0123456789abcdef", env::wall_ms() + HOUR_MS));
    let who = api.ask_with(TOKEN, "POST", WHOAMI, json!({})).await;
    let expect = json!({"username": "system:bootstrap:abc123", "groups": ["system:bootstrappers", "system:authenticated"]});
    assert_eq!(who.body["status"]["userInfo"], expect, "{who:?}");
    let (tokens, now) = (Tokens::default(), env::wall_ms());
    let is_good = |token: &str, at: u64| tokens.identify(token, API_AUDIENCES, &state(&api), at).is_ok();
    assert!(is_good(TOKEN, now) && !is_good(TOKEN, now + HOUR_MS + 1));
    assert!(!is_good("abc123.0123456789abcdee", now) && !is_good("abc124.0123456789abcdef", now));

    let secret = "/api/v1/namespaces/kube-system/secrets/bootstrap-token-abc123";
    let groups = async |change: Value| {
        let media = [("content-type", "application/merge-patch+json")];
        let patched = api.ask("PATCH", secret, &media, json!({"stringData": change}).to_string()).await;
        assert_eq!(patched.code, 200, "{patched:?}");
        let known = tokens.identify(TOKEN, API_AUDIENCES, &state(&api), now).ok();
        known.map(|known| known.user.groups.join(" "))
    };
    let own = "system:bootstrappers system:bootstrappers:rack-1 system:authenticated";
    assert_eq!(
        groups(json!({"auth-extra-groups": "system:bootstrappers:rack-1"})).await.as_deref(),
        Some(own)
    );
    assert_eq!(groups(json!({"auth-extra-groups": "system:masters"})).await, None);
    assert!(groups(json!({"auth-extra-groups": ""})).await.is_some());
    assert_eq!(groups(json!({"expiration": "tomorrow"})).await, None);
    assert!(groups(json!({"expiration": ""})).await.is_some());
    assert_eq!(groups(json!({"usage-bootstrap-authentication": "false"})).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_leader_makes_what_an_older_cluster_lacks() {
    let api = Api::whole();
    assert_eq!(keys::set(&state(&api)), json!({"keys": []}));
    let (trigger, shutdown) = base::shutdown::channel();
    let running = env::spawn(crate::standing::run(Arc::new(api.memory.clone()), "PEM".to_owned(), shutdown));
    env::sleep(std::time::Duration::from_millis(1)).await;
    trigger.fire();
    running.await.expect("no panic");
    let maps = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication";
    assert_eq!(api.get(maps).await.body["data"], json!({"client-ca-file": "PEM"}));
    assert_eq!(keys::set(&state(&api))["keys"].as_array().map(Vec::len), Some(1));
    // What is there is left alone.
    assert_eq!(crate::standing::missing(&state(&api), "PEM").expect("nothing"), []);
}
