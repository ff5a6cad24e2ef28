//! `bitx store rm NAME`: removes a model.

use bitx_store::Store;
use serde_json::json;

use super::args;
use crate::args::Global;
use crate::report::print;

pub async fn run(store: &Store, args: &args::Rm, global: &Global) -> anyhow::Result<()> {
    store.remove(&args.name).await?;
    let text = || format!("{}: removed; `bitx store gc` frees the data that no other model uses", args.name);
    print(global, text, json!({ "command": "store rm", "model": args.name }))
}
