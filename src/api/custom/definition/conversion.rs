//! How objects get from one version of a definition to another.

use serde_json::Value;

use super::{Spec, one_of};
use crate::custom::{text, texts};
use crate::field_error::FieldError;
use crate::names;

pub(super) fn errors(spec: &Spec<'_>, is_open: bool, old: Option<&Spec<'_>>, errors: &mut Vec<FieldError>) {
    let Some(conversion) = spec.spec.get("conversion") else { return };
    let strategy = text(conversion, "strategy");
    if strategy != "None" && is_open {
        let why = "must be None if spec.preserveUnknownFields is true";
        errors.push(FieldError::invalid("spec.conversion.strategy", strategy, why));
    }
    one_of("spec.conversion.strategy", strategy, &["None", "Webhook"], errors);
    let (client, reviews) =
        ("spec.conversion.webhookClientConfig", "spec.conversion.conversionReviewVersions");
    let webhook = conversion.get("webhook").unwrap_or(&Value::Null);
    let (config, versions) = (webhook.get("clientConfig"), texts(webhook, "conversionReviewVersions"));
    if strategy != "Webhook" {
        let why = "should not be set when strategy is not set to Webhook";
        let set = [(client, config.is_some()), (reviews, !versions.is_empty())];
        errors.extend(
            set.into_iter().filter(|(_, is_set)| *is_set).map(|(field, _)| FieldError::forbidden(field, why)),
        );
        return;
    }
    match config {
        None => errors.push(FieldError::required(client, "required when strategy is set to Webhook")),
        Some(config) => client_errors(config, client, errors),
    }
    let known = |version: &String| matches!(version.as_str(), "v1" | "v1beta1");
    let before = old.and_then(|old| old.spec.pointer("/conversion/webhook"));
    let before = before.map(|webhook| texts(webhook, "conversionReviewVersions")).unwrap_or_default();
    let is_lenient = !before.is_empty() && !before.iter().any(known);
    if versions.is_empty() {
        return errors.push(FieldError::required(reviews, ""));
    }
    for (at, version) in versions.iter().enumerate() {
        let field = format!("{reviews}[{at}]");
        if versions[..at].contains(version) {
            errors.push(FieldError::invalid(&field, version.as_str(), "duplicate version"));
            continue;
        }
        let wrong = names::dns_1035_label(version, false);
        errors.extend(wrong.iter().map(|why| FieldError::invalid(&field, version.as_str(), why)));
    }
    if !is_lenient && !versions.iter().any(known) {
        errors.push(FieldError::invalid(reviews, versions, "must include at least one of v1, v1beta1"));
    }
}

fn client_errors(config: &Value, path: &str, errors: &mut Vec<FieldError>) {
    match (config.get("url").and_then(Value::as_str), config.get("service")) {
        (None, None) | (Some(_), Some(_)) => {
            errors.push(FieldError::required(path, "exactly one of url or service is required"));
        }
        (Some(url), None) => {
            let form = "; desired format: https://host[/path]";
            if !url.starts_with("https://") {
                let field = format!("{path}.url");
                let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
                let why = format!("'https' is the only allowed URL scheme{form}");
                errors.push(FieldError::invalid(&field, scheme, &why));
            }
        }
        (None, Some(service)) => {
            for (name, why) in
                [("name", "service name is required"), ("namespace", "service namespace is required")]
            {
                if text(service, name).is_empty() {
                    errors.push(FieldError::required(&format!("{path}.service.{name}"), why));
                }
            }
            let port = service.get("port").and_then(Value::as_i64).unwrap_or(443);
            if !(1..=65535).contains(&port) {
                let why = "port is not valid: must be between 1 and 65535, inclusive";
                errors.push(FieldError::invalid(&format!("{path}.service.port"), port, why));
            }
        }
    }
}
