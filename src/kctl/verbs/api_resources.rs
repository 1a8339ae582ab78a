//! `kctl api-resources`

use std::sync::Arc;

use clap::ValueEnum;

use crate::catalog::Kind;
use crate::failure::Failure;
use crate::screen::Screen;
use crate::server::Server;
use crate::table::render;

/// Which kinds to list, and how.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Only those of this group; empty: the legacy group.
    #[arg(long, value_name = "GROUP")]
    api_group: Option<String>,
    /// Only those that live in namespaces, or (false) only those that do not.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    namespaced: Option<bool>,
    /// Only those with which all of this can be done.
    #[arg(long, value_delimiter = ',', value_name = "VERBS")]
    verbs: Vec<String>,
    /// Only those of all these categories.
    #[arg(long, value_delimiter = ',', value_name = "CATEGORIES")]
    categories: Vec<String>,
    /// How to list them.
    #[arg(short, long, value_enum)]
    output: Option<Output>,
    /// In which order.
    #[arg(long, value_enum)]
    sort_by: Option<Order>,
    /// Without heads.
    #[arg(long)]
    no_headers: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// Names alone.
    Name,
    /// With verbs and categories.
    Wide,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Order {
    /// Kinds.
    Kind,
    /// Names.
    Name,
}

const HEAD: &[&str] = &["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND", "VERBS", "CATEGORIES"];

/// Runs the verb.
pub fn run(args: &Args, server: &Server, screen: Screen) -> Result<(), Failure> {
    let mut kinds: Vec<Arc<Kind>> = Vec::new();
    for kind in server.catalog.kinds().filter(|kind| args.wants(kind)) {
        // One version of each: the one that the server prefers.
        if !kinds.iter().any(|known| (&known.group, &known.plural) == (&kind.group, &kind.plural)) {
            kinds.push(Arc::clone(kind));
        }
    }
    match args.sort_by {
        None => kinds.sort_by_key(|kind| (kind.group.clone(), kind.plural.clone())),
        Some(Order::Kind) => kinds.sort_by_key(|kind| kind.kind.clone()),
        Some(Order::Name) => kinds.sort_by_key(|kind| kind.plural.clone()),
    }
    screen.print(&listed(args, &kinds))
}

impl Args {
    fn wants(&self, kind: &Kind) -> bool {
        self.api_group.as_ref().is_none_or(|group| *group == kind.group)
            && self.namespaced.is_none_or(|namespaced| namespaced == kind.namespaced)
            && self.verbs.iter().all(|verb| kind.can(verb))
            && self.categories.iter().all(|category| kind.categories.contains(category))
    }
}

fn listed(args: &Args, kinds: &[Arc<Kind>]) -> String {
    if args.output == Some(Output::Name) {
        return kinds.iter().map(|kind| kind.resource() + "\n").collect();
    }
    let columns = if args.output == Some(Output::Wide) { HEAD.len() } else { HEAD.len() - 2 };
    let row = |kind: &Arc<Kind>| {
        let cells = [
            kind.plural.clone(),
            kind.short_names.join(","),
            kind.api_version(),
            kind.namespaced.to_string(),
            kind.kind.clone(),
            kind.verbs.join(","),
            kind.categories.join(","),
        ];
        cells.into_iter().take(columns).collect::<Vec<String>>()
    };
    let rows: Vec<Vec<String>> = kinds.iter().map(row).collect();
    let text = render(&HEAD[..columns], &rows);
    if args.no_headers {
        text.split_once('\n').map_or_else(String::new, |(_, rest)| rest.to_owned())
    } else {
        text
    }
}
