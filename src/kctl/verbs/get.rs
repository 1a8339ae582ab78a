//! `kctl get`

use std::sync::Arc;

use futures::StreamExt;
use serde_json::{Value, json};

use crate::catalog::Kind;
use crate::failure::{Failure, Tally};
use crate::flags::{Files, Global, Select};
use crate::manifest;
use crate::output::columns::{Printer, Style};
use crate::output::{Form, custom, plain_table, presented, printed_name, sort};
use crate::screen::{Screen, warn};
use crate::server::{Call, Event, Server, TABLE};
use crate::targets::{Given, Target, resolve, typed};

/// What to show.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// TYPE, TYPE NAME..., TYPE/NAME..., TYPE.GROUP, or several types with commas between; `all` is the usual ones.
    words: Vec<String>,
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    select: Select,
    /// json, yaml, name, wide, jsonpath=TEMPLATE, jsonpath-file=FILE, custom-columns=HEAD:PATH,...
    #[arg(short, long, default_value = "", hide_default_value = true, value_name = "FORM")]
    output: String,
    /// Show metadata.managedFields in JSON and YAML.
    #[arg(long)]
    show_managed_fields: bool,
    /// Without heads.
    #[arg(long)]
    no_headers: bool,
    /// With all labels as the last column.
    #[arg(long)]
    show_labels: bool,
    /// With a column for each of these labels.
    #[arg(short = 'L', long, value_delimiter = ',', value_name = "LABELS")]
    label_columns: Vec<String>,
    /// With the kind before each name.
    #[arg(long)]
    show_kind: bool,
    /// In the order of what this path leads to: .metadata.name
    #[arg(long, default_value = "", hide_default_value = true, value_name = "PATH")]
    sort_by: String,
    /// Go on with what happens to them.
    #[arg(short, long)]
    watch: bool,
    /// Only what happens to them from now on.
    #[arg(long)]
    watch_only: bool,
    /// Say what happened: ADDED, MODIFIED, DELETED.
    #[arg(long)]
    output_watch_events: bool,
    /// What is not there is no error.
    #[arg(long)]
    ignore_not_found: bool,
    /// How many objects to ask for at once; 0: all.
    #[arg(long, default_value_t = 500, value_name = "COUNT")]
    chunk_size: u32,
    /// Ask for this path and print the answer as it is.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "PATH")]
    raw: String,
    /// A part of the objects: status, scale...
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NAME")]
    subresource: String,
}

/// Runs the verb.
pub async fn run(args: &Args, server: &Server, global: &Global, screen: Screen) -> Result<(), Failure> {
    if !args.raw.is_empty() {
        return screen.print(&server.text(Call::get(&*args.raw)).await?);
    }
    let mut form = Form::parse(&args.output)?;
    if let Form::Columns(columns) = &form
        && args.no_headers
    {
        form = Form::Columns(custom::Columns::headless(columns.clone()));
    }
    let given = Given { words: &args.words, files: &args.files, select: &args.select, all: false };
    let targets = resolve(given, server)?;
    if args.watch || args.watch_only {
        return watch(args, server, global, &targets, &form, screen).await;
    }
    match form {
        Form::Human { wide } => tables(args, server, &targets, wide, screen).await,
        form => objects(args, server, &targets, &form, screen).await,
    }
}

impl Args {
    fn style(&self, kind: &Kind, wide: bool, several: bool, screen: Screen) -> Style {
        Style {
            wide,
            namespaces: self.select.all_namespaces && kind.namespaced,
            kinds: self.show_kind || several,
            labels: self.show_labels,
            label_columns: self.label_columns.clone(),
            events: self.output_watch_events,
            headless: self.no_headers,
            colored: screen.colored,
        }
    }

    fn call(&self, target: &Target) -> Call {
        match target.name.as_str() {
            "" => Call::get(target.collection())
                .with("labelSelector", &self.select.labels)
                .with("fieldSelector", &self.select.fields),
            _ => Call::get(target.path_of(&self.subresource)),
        }
    }

    /// All pages of what the target names, as one answer.
    async fn fetch(
        &self,
        server: &Server,
        target: &Target,
        accept: Option<&'static str>,
    ) -> Result<Value, Failure> {
        let limit = if self.chunk_size == 0 || !target.name.is_empty() {
            String::new()
        } else {
            self.chunk_size.to_string()
        };
        let call = self.call(target).with("limit", limit);
        let call = accept.map_or(call.clone(), |accept| call.accept(accept));
        // Rows are sorted by fields of their objects.
        let include = if self.sort_by.is_empty() || accept.is_none() { "" } else { "Object" };
        let call = call.with("includeObject", include);
        let mut all = server.json(call.clone()).await?;
        let member = if all["kind"] == "Table" { "rows" } else { "items" };
        loop {
            let next = manifest::text(&all, "/metadata/continue").to_owned();
            if next.is_empty() {
                return Ok(all);
            }
            let mut page = server.json(call.clone().with("continue", next)).await?;
            all["metadata"] = page["metadata"].take();
            let more = page[member].as_array_mut().map(std::mem::take).unwrap_or_default();
            if let Some(found) = all[member].as_array_mut() {
                found.extend(more);
            }
        }
    }

    /// What is not there may be no error.
    fn accepted<T>(&self, outcome: Result<T, Failure>, tally: &mut Tally) -> Result<Option<T>, Failure> {
        match outcome {
            Err(failure) if self.ignore_not_found && failure.is("NotFound") => Ok(None),
            outcome => tally.take(outcome),
        }
    }

    fn say_nothing_found(&self, targets: &[Target]) {
        let namespaced = targets.iter().find(|target| target.kind.namespaced && !target.namespace.is_empty());
        match namespaced {
            _ if self.ignore_not_found => {}
            Some(target) => warn(&format!("No resources found in {} namespace.", target.namespace)),
            None => warn("No resources found"),
        }
    }
}

/// Of one kind, one below the other.
struct Section {
    kind: Arc<Kind>,
    table: Value,
}

async fn tables(
    args: &Args,
    server: &Server,
    targets: &[Target],
    wide: bool,
    screen: Screen,
) -> Result<(), Failure> {
    let mut tally = Tally::default();
    let mut sections: Vec<Section> = Vec::new();
    for target in targets {
        let fetched = args.fetch(server, target, Some(TABLE)).await;
        let Some(answer) = args.accepted(fetched, &mut tally)? else { continue };
        let mut table =
            if answer["kind"] == "Table" { answer } else { plain_table(&crate::output::items(&answer)) };
        match sections.last_mut().filter(|last| last.kind == target.kind) {
            Some(last) => {
                let rows = table["rows"].as_array_mut().map(std::mem::take).unwrap_or_default();
                last.table["rows"].as_array_mut().into_iter().for_each(|all| all.extend(rows.clone()));
            }
            None => sections.push(Section { kind: Arc::clone(&target.kind), table }),
        }
    }
    let several = targets.iter().any(|target| target.kind != targets[0].kind);
    let mut printed = 0;
    for mut section in sections {
        if let Some(rows) = section.table["rows"].as_array_mut().filter(|_| !args.sort_by.is_empty()) {
            sort::by(&args.sort_by, rows, |row| &row["object"])?;
        }
        let style = args.style(&section.kind, wide, several, screen);
        let text = Printer::new(style).print(&section.table, &section.kind, "ADDED");
        if !text.is_empty() {
            screen.print(&(if printed > 0 { "\n".to_owned() } else { String::new() } + &text))?;
            printed += 1;
        }
    }
    let outcome = tally.close();
    if printed == 0 && outcome.is_ok() {
        args.say_nothing_found(targets);
    }
    outcome
}

async fn objects(
    args: &Args,
    server: &Server,
    targets: &[Target],
    form: &Form,
    screen: Screen,
) -> Result<(), Failure> {
    let mut tally = Tally::default();
    let mut found = Vec::new();
    for target in targets {
        let fetched = args.fetch(server, target, None).await;
        let Some(mut answer) = args.accepted(fetched, &mut tally)? else { continue };
        if target.name.is_empty() {
            let items = answer["items"].as_array_mut().map(std::mem::take).unwrap_or_default();
            found.extend(items.into_iter().map(|item| typed(item, &target.kind)));
        } else {
            found.push(answer);
        }
    }
    if !args.sort_by.is_empty() {
        sort::by(&args.sort_by, &mut found, |object| object)?;
    }
    let mut found: Vec<Value> =
        found.into_iter().map(|object| presented(object, args.show_managed_fields)).collect();
    let is_one = matches!(targets, [target] if !target.name.is_empty());
    if !is_one {
        screen.print(&form.print(&manifest::list(found), printed_name)?)?;
    } else if let Some(object) = found.pop() {
        screen.print(&form.print(&object, printed_name)?)?;
    }
    tally.close()
}

async fn watch(
    args: &Args,
    server: &Server,
    global: &Global,
    targets: &[Target],
    form: &Form,
    screen: Screen,
) -> Result<(), Failure> {
    let [target] = targets else {
        return Err(Failure::Usage("you may only specify a single resource type when you watch".to_owned()));
    };
    let wide = *form == Form::Human { wide: true };
    let accept = form.is_human().then_some(TABLE);
    let mut printer = Printer::new(args.style(&target.kind, wide, false, screen));
    let mut show = |event: Event| -> Result<(), Failure> {
        let Event { kind, object } = event;
        match form {
            Form::Human { .. } if object["kind"] == "Table" => {
                screen.print(&printer.print(&object, &target.kind, kind))
            }
            Form::Human { .. } => screen.print(&printer.print(&plain_table(&[&object]), &target.kind, kind)),
            form => {
                let object = presented(object, args.show_managed_fields);
                let shown =
                    if args.output_watch_events { json!({"type": kind, "object": object}) } else { object };
                screen.print(&form.print(&shown, |shown| {
                    printed_name(if args.output_watch_events { &shown["object"] } else { shown })
                })?)
            }
        }
    };
    let mut first = args.fetch(server, target, accept).await?;
    let mut revision = manifest::text(&first, "/metadata/resourceVersion").to_owned();
    if !args.watch_only && target.name.is_empty() && first["kind"] != "Table" {
        for item in first["items"].as_array_mut().map(std::mem::take).unwrap_or_default() {
            show(Event { kind: "ADDED", object: typed(item, &target.kind) })?;
        }
    } else if !args.watch_only {
        show(Event { kind: "ADDED", object: first.clone() })?;
    }
    let name = if target.name.is_empty() { String::new() } else { format!("metadata.name={}", target.name) };
    let fields = [name, args.select.fields.clone()].join(",");
    let limit = global.request_timeout()?;
    loop {
        let call = Call::get(target.collection())
            .accept(accept.unwrap_or("application/json"))
            .with("labelSelector", &args.select.labels)
            .with("fieldSelector", fields.trim_matches(','))
            .with(
                "timeoutSeconds",
                limit.map_or_else(String::new, |limit| limit.as_secs().max(1).to_string()),
            )
            .with("resourceVersion", &revision);
        let mut events = server.watch(call).await?;
        while let Some(event) = events.next().await {
            let event = event?;
            let object = event.object.pointer("/rows/0/object").unwrap_or(&event.object);
            manifest::text(object, "/metadata/resourceVersion").clone_into(&mut revision);
            show(event)?;
        }
        if limit.is_some() {
            return Ok(());
        }
    }
}
