//! `bitx store init`: makes an empty store.

use serde_json::json;

use super::open;
use crate::args::Global;
use crate::report::print;

pub async fn run(root: &str, global: &Global) -> anyhow::Result<()> {
    let made = !open::exists(root).await?;
    open::made(root, global).await?;
    let done = if made { "made a store" } else { "there is a store already" };
    print(global, || format!("{root}: {done}"), json!({ "command": "store init", "root": root, "made": made }))
}
