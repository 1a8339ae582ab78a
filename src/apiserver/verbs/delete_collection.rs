//! DELETE of a collection.

use std::sync::Arc;

use api::codec::DeleteOptions;
use axum::response::Response;
use futures::{StreamExt, TryStreamExt, stream};
use state::Object;

use super::list_options::ListOptions;
use super::{Call, delete};
use crate::errors::Failure;
use crate::limits::DELETES_AT_A_TIME;
use crate::present::{self, ListMeta};
use crate::server::Context;

/// Deletes every object of the collection that passes the selectors, each on its own, and shows them as they
/// were. What somebody else deleted meanwhile is no error.
pub(super) async fn handle(context: Arc<Context>, mut call: Call) -> Result<Response, Failure> {
    let form = call.form()?;
    let (_, filter) = ListOptions::of(&call)?;
    let options = call.delete_options()?;
    let moment = context.backend.linearizable().await?;
    let prefix = call.row.prefix(&call.path.namespace);
    let found: Vec<Arc<Object>> =
        moment.state.range(&prefix).filter(|object| filter.matches(object)).cloned().collect();
    let each = |object: Arc<Object>| delete_one(Arc::clone(&context), call.clone(), options.clone(), object);
    let deletes: Vec<_> = found.iter().cloned().map(each).collect();
    stream::iter(deletes).buffer_unordered(DELETES_AT_A_TIME).try_collect::<Vec<()>>().await?;
    let meta = ListMeta { revision: moment.revision(), ..ListMeta::default() };
    Ok(present::list(&meta, found, call.lens, form).await)
}

async fn delete_one(
    context: Arc<Context>,
    mut call: Call,
    options: DeleteOptions,
    object: Arc<Object>,
) -> Result<(), Failure> {
    call.path.namespace = object.key.namespace().to_owned();
    call.path.name = object.key.name().to_owned();
    match delete::run(&context, &call, &options).await {
        Err(Failure(status)) if status.code == 404 => Ok(()),
        other => other.map(drop),
    }
}
