//! What is done to a container to look at it or to tell it something: probes and lifecycle hooks.

use super::Spec;
use crate::validate::at::At;
use crate::validate::text;

const ONE_HANDLER: &str = "may not specify more than 1 handler type";

/// The probes and hooks of a container that keeps running.
pub(super) fn handlers(of: &Spec<'_>, container: At<'_>) {
    lifecycle(of, container.field("lifecycle"));
    let probes: [(_, fn(At<'_>)); 3] = [
        ("livenessProbe", succeeds_at_once),
        ("readinessProbe", has_no_grace),
        ("startupProbe", succeeds_at_once),
    ];
    for (name, rule) in probes {
        let at = container.field(name);
        if at.is_set() {
            probe(of, at);
            rule(at);
        }
    }
}

fn succeeds_at_once(probe: At<'_>) {
    let threshold = probe.field("successThreshold");
    if threshold.number() != 1 {
        threshold.invalid_value(threshold.number(), "must be 1");
    }
}

fn has_no_grace(probe: At<'_>) {
    let grace = probe.field("terminationGracePeriodSeconds");
    if grace.is_set() {
        grace.invalid("must not be set for readinessProbes");
    }
}

fn probe(of: &Spec<'_>, probe: At<'_>) {
    handler(of, probe, &["exec", "httpGet", "tcpSocket", "grpc"]);
    for field in
        ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"]
    {
        probe.field(field).non_negative();
    }
    let grace = probe.field("terminationGracePeriodSeconds");
    if grace.int().is_some_and(|seconds| seconds <= 0) {
        grace.invalid("must be greater than 0");
    }
}

fn lifecycle(of: &Spec<'_>, lifecycle: At<'_>) {
    for hook in
        ["postStart", "preStop"].map(|field| lifecycle.field(field)).iter().filter(|hook| hook.is_set())
    {
        handler(of, *hook, &["exec", "httpGet", "tcpSocket", "sleep"]);
    }
}

fn handler(of: &Spec<'_>, at: At<'_>, kinds: &[&'static str]) {
    let mut given = kinds.iter().filter(|kind| at.field(kind).is_set());
    let Some(first) = given.next() else { return at.required("must specify a handler type") };
    let action = at.field(first);
    match *first {
        "exec" if action.field("command").count() == 0 => action.field("command").required(""),
        "exec" => {}
        "httpGet" => http_get(action),
        "tcpSocket" => action.field("port").port_number_or_name(),
        "grpc" => action.field("port").port_number(),
        _ => sleep(of, action),
    }
    given.for_each(|kind| at.field(kind).forbidden(ONE_HANDLER));
}

fn http_get(action: At<'_>) {
    action.field("path").require_text();
    action.field("port").port_number_or_name();
    action.field("scheme").one_of(&["HTTP", "HTTPS"]);
    let headers = action.field("httpHeaders");
    for header in headers.items() {
        let name = header.field("name").text();
        text::header_name(name).iter().for_each(|wrong| headers.invalid_value(name, wrong));
    }
}

fn sleep(of: &Spec<'_>, action: At<'_>) {
    let Some(grace) = of.spec.field("terminationGracePeriodSeconds").int() else { return };
    let seconds = action.field("seconds").number();
    if seconds < 0 || seconds > grace {
        let rule = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
        action.invalid_value(seconds, &rule);
    }
}
