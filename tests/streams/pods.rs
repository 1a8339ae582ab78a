//! What there is to reach.

use serde_json::{Value, json};

/// The sample's image: a static busybox.
const IMAGE: &str = "keelson/hello:1";

/// Answers one request with what it was, or as its path says.
const ECHO: &str = r#"#!/bin/sh
read -r line; line=${line%?}; length=0; headers=
while read -r header; do
  header=${header%?}
  [ -z "$header" ] && break
  headers="$headers$header
"
  case $header in [Cc]ontent-[Ll]ength:*) length=${header##* };; esac
done
close='Connection: close'
case $line in
*" /moved "*) printf "HTTP/1.1 302 Found\r\nLocation: /there?x=1\r\nContent-Length: 0\r\n$close\r\n\r\n";;
*" /page "*)
  printf "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n$close\r\n\r\n"
  printf '<a href="/rewriteme">test</a>';;
*" /upgrade "*)
  printf 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n'
  exec cat;;
*)
  printf "HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\n$close\r\n\r\n"
  printf '%s\n%s\n' "$line" "$headers"
  head -c "$length";;
esac
"#;

fn pod(name: &str, script: &str, more: Value) -> Value {
    let mut container = json!({
        "name": "box",
        "image": IMAGE,
        "command": ["/bin/busybox", "sh", "-c", format!("/bin/busybox --install -s /bin; mkdir -p /tmp; {script}")],
        "env": [{"name": "ECHO", "value": ECHO}],
    });
    if let (Value::Object(container), Value::Object(more)) = (&mut container, more) {
        container.extend(more);
    }
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": name}},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]},
    })
}

/// All pods: `box` serves, reads lines and answers them, `terminal` is a shell, `lives` ended once, `counter` counts, and
/// `pending` runs nowhere.
pub fn all() -> Vec<Value> {
    let serve = "mkdir -p /www && echo small >/www/small && head -c 4194304 /dev/zero >/www/large \
        && echo \"$ECHO\" >/echo && chmod +x /echo && httpd -p 8080 -h /www && (nc -ll -p 9090 -e /echo &) \
        && while true; do read line && echo got $line || sleep 1; done";
    let ports = json!([
        {"name": "web", "containerPort": 8080},
        {"name": "echo", "containerPort": 9090},
    ]);
    let probe = json!({"tcpSocket": {"port": 9090}, "periodSeconds": 1});
    let mut pending = pod("pending", "sleep 1000", json!({}));
    pending["spec"]["nodeSelector"] = json!({"no-node": "has-this"});
    vec![
        pod("box", serve, json!({"stdin": true, "ports": ports, "readinessProbe": probe})),
        pod("terminal", "exec sh", json!({"stdin": true, "tty": true})),
        pod(
            "lives",
            "if [ -e /kept/once ]; then echo second; sleep 1000; fi; touch /kept/once; echo first life; exit 1",
            json!({"volumeMounts": [{"name": "kept", "mountPath": "/kept"}]}),
        ),
        pod("counter", "i=0; while true; do i=$((i + 1)); echo $i; sleep 1; done", json!({})),
        pending,
    ]
    .into_iter()
    .map(with_volume)
    .collect()
}

fn with_volume(mut pod: Value) -> Value {
    pod["spec"]["volumes"] = json!([{"name": "kept", "emptyDir": {}}]);
    pod
}

/// A Service of `box`.
pub fn service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "box", "namespace": "default"},
        "spec": {
            "selector": {"app": "box"},
            "ports": [
                {"name": "web", "port": 80, "targetPort": "web"},
                {"name": "echo", "port": 90, "targetPort": "echo"},
            ],
        },
    })
}
