//! GET of a collection.

use std::sync::Arc;

use api::Status;
use api::token::ContinueToken;
use axum::response::Response;
use replica::{AtLeastError, View, ViewError};
use state::Object;

use super::list_options::ListOptions;
use super::{Call, moment_for, revision};
use crate::errors::Failure;
use crate::filter::Filter;
use crate::limits::{HISTORY_PAGE_OBJECTS, SCAN_STEP_OBJECTS};
use crate::present::{self, ListMeta};
use crate::server::Context;

/// Shows the objects of a collection, all or a page of them, at one revision.
pub(super) async fn handle(context: Arc<Context>, call: Call) -> Result<Response, Failure> {
    let form = call.form()?;
    let (wanted, filter) = ListOptions::of(&call)?;
    let options = Options::of(&call, wanted.limit)?;
    let prefix = call.row.prefix(&call.path.namespace);
    let (view, revision) = view(&context, &options, &prefix).await?;
    let after = options.token.as_ref().map_or(String::new(), |token| format!("{prefix}{}", token.start));
    let mut page = Page { prefix: &prefix, after, items: Vec::new(), filter: &filter, limit: options.limit };
    page.read(&view).await?;
    let meta = page.finish(&view, revision, options.token.as_ref()).await?;
    Ok(present::list(&meta, page.items, call.lens, form).await)
}

/// Which list is asked for.
struct Options {
    /// Where a former page ended.
    token: Option<ContinueToken>,
    revision: Option<u64>,
    /// Only this revision will do.
    is_exact: bool,
    limit: usize,
}

impl Options {
    fn of(call: &Call, limit: usize) -> Result<Self, Status> {
        let query = &call.query;
        let stated = query.get("resourceVersion");
        let token = Some(query.get("continue")).filter(|text| !text.is_empty());
        let token = token
            .map(ContinueToken::decode)
            .transpose()
            .map_err(|error| Status::bad_request(format!("invalid continue token: {error}")))?;
        if token.is_some() {
            if !matches!(stated, "" | "0") {
                let why = "specifying resource version is not allowed when using continue";
                return Err(Status::bad_request(why));
            }
            return Ok(Self { token, revision: None, is_exact: false, limit });
        }
        let revision = revision(stated)
            .map_err(|error| Status::bad_request(format!("invalid resource version: {error}")))?;
        let is_exact = match query.get("resourceVersionMatch") {
            "" => revision.is_some_and(|revision| revision > 0) && limit > 0,
            matching => matching == "Exact",
        };
        Ok(Self { token, revision, is_exact, limit })
    }
}

/// What to read, and the revision to say that it is of.
async fn view(context: &Context, options: &Options, prefix: &str) -> Result<(View, u64), Failure> {
    let backend = &*context.backend;
    let exact = match &options.token {
        Some(token) => token.revision,
        None => options.revision.filter(|_| options.is_exact),
    };
    let Some(revision) = exact else {
        let moment = moment_for(backend, options.revision).await?;
        let revision = moment.revision();
        return Ok((View::Memory(moment), revision));
    };
    if let Err(AtLeastError::TooLarge { revision, current }) = backend.at_least(revision).await {
        // Whoever wants no other one is not asked to wait for it.
        return Err(Status::too_large_resource_version(revision, current).with_retry_after(0).into());
    }
    match (backend.exact(prefix, revision).await, &options.token) {
        (Ok(view), _) => {
            let revision = view.revision();
            Ok((view, revision))
        }
        // The rest of the list can still be had, as it is now.
        (Err(ViewError::Gone(_)), Some(token)) => {
            let resume = ContinueToken { revision: None, remaining: None, ..token.clone() };
            Err(Status::expired_token(resume.encode()).into())
        }
        (Err(error), _) => Err(error.into()),
    }
}

/// A page of a list, while it is read.
struct Page<'q> {
    prefix: &'q str,
    /// The last key that was looked at.
    after: String,
    items: Vec<Arc<Object>>,
    filter: &'q Filter,
    /// 0: no limit.
    limit: usize,
}

impl Page<'_> {
    /// Reads until the page is full, with one object more than its limit: the proof that there are more.
    async fn read(&mut self, view: &View) -> Result<(), Failure> {
        if let Some(name) = self.filter.exact_name().filter(|_| self.after.is_empty()) {
            // A namespace or none stands in the prefix, unless the list is over all of them.
            if let View::Memory(moment) = view
                && let Some(found) = moment.state.get(&format!("{}{name}", self.prefix))
            {
                self.items.extend(self.filter.matches(found).then(|| Arc::clone(found)));
                return Ok(());
            }
        }
        loop {
            let (seen, last) = match view {
                View::Memory(moment) => self.scan(&moment.state),
                View::History { .. } => self.scan_history(view).await?,
            };
            if self.is_full() || seen == 0 {
                return Ok(());
            }
            self.after = last;
            tokio::task::yield_now().await;
        }
    }

    fn is_full(&self) -> bool {
        self.limit > 0 && self.items.len() > self.limit
    }

    /// Looks at the next objects in memory. Returns how many, and the last one's key.
    fn scan(&mut self, state: &state::State) -> (usize, String) {
        let (mut seen, mut last) = (0, None);
        for object in state.range_from(self.prefix, &self.after).take(SCAN_STEP_OBJECTS) {
            seen += 1;
            last = Some(&object.key);
            if self.filter.is_empty() || self.filter.matches(object) {
                self.items.push(Arc::clone(object));
                if self.is_full() {
                    break;
                }
            }
        }
        (seen, last.map_or(String::new(), |key| key.as_str().to_owned()))
    }

    async fn scan_history(&mut self, view: &View) -> Result<(usize, String), Failure> {
        let found = view.page(self.prefix, &self.after, HISTORY_PAGE_OBJECTS).await?;
        let last = found.last().map_or(String::new(), |object| object.key.as_str().to_owned());
        let seen = found.len();
        let room = if self.limit > 0 { self.limit + 1 - self.items.len() } else { usize::MAX };
        self.items.extend(found.into_iter().filter(|object| self.filter.matches(object)).take(room));
        Ok((seen, last))
    }

    /// Cuts the page to its limit and says what follows.
    async fn finish(
        &mut self,
        view: &View,
        revision: u64,
        from: Option<&ContinueToken>,
    ) -> Result<ListMeta, Failure> {
        if !self.is_full() {
            return Ok(ListMeta { revision, ..ListMeta::default() });
        }
        self.items.truncate(self.limit);
        let last = self.items.last().map_or("", |object| object.key.as_str()).to_owned();
        let remaining = match from.map(|token| token.remaining) {
            _ if !self.filter.is_empty() => None,
            Some(Some(before)) => Some(before.saturating_sub(self.items.len() as u64)),
            _ => Some(self.count_after(view, &last).await?),
        };
        let start = last.strip_prefix(self.prefix).unwrap_or_default().to_owned();
        let token = ContinueToken { revision: Some(revision), start, remaining };
        Ok(ListMeta { revision, continue_token: token.encode(), remaining })
    }

    /// How many objects of the list have keys above `last`.
    async fn count_after(&self, view: &View, last: &str) -> Result<u64, Failure> {
        let mut after = last.to_owned();
        let mut count = 0;
        loop {
            let found = match view {
                // The first page: everything that is not on it follows.
                View::Memory(moment) if self.is_first() => {
                    return Ok(moment.state.count(self.prefix).saturating_sub(self.items.len() as u64));
                }
                View::Memory(moment) => {
                    return Ok(moment.state.range_from(self.prefix, &after).count() as u64);
                }
                View::History { .. } => view.page(self.prefix, &after, HISTORY_PAGE_OBJECTS).await?,
            };
            let Some(object) = found.last() else { return Ok(count) };
            count += found.len() as u64;
            after = object.key.as_str().to_owned();
        }
    }

    fn is_first(&self) -> bool {
        self.after.is_empty()
    }
}
