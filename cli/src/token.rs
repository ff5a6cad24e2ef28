//! `bitx token [-]`: makes a token for `bitx serve --tokens`, or the digest of one.

use std::io::Read;

use anyhow::Context;
use bitx::ErrorKind;
use serde_json::json;

use crate::args::Global;
use crate::checks::hex;
use crate::fault::Fault;
use crate::stdout;

/// The length in bytes of the longest token that is read.
const LONGEST: u64 = 4096;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// `-` reads a token from standard input, without the line break at its end [default: a new
    /// random token]
    #[arg(value_name = "-", value_parser = ["-"])]
    read: Option<String>,
}

pub fn run(args: &Args, global: &Global) -> anyhow::Result<()> {
    let made = args.read.is_none();
    let token = if made { random()? } else { read()? };
    let digest = blake3::hash(token.as_bytes()).to_string();
    if global.json {
        let mut object = json!({ "command": "token", "blake3": digest });
        if made {
            object["token"] = json!(token);
        }
        return stdout::print(format!("{object}\n"));
    }
    let entry = json!({ "blake3": digest, "name": "NAME", "read": ["*"], "write": ["ORG/*"] });
    let shown = if made { format!("token: {token}\n") } else { String::new() };
    stdout::print(format!("{shown}blake3: {digest}\nentry of the tokens file: {entry}\n"))
}

/// A token of 256 random bits.
fn random() -> anyhow::Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("no random bits: {error}"))?;
    Ok(hex(&bytes))
}

/// The token on standard input.
fn read() -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    std::io::stdin().lock().take(LONGEST + 1).read_to_end(&mut bytes).context("standard input")?;
    let text = String::from_utf8(bytes).unwrap_or_default();
    let token = text.strip_suffix('\n').map_or(&*text, |line| line.strip_suffix('\r').unwrap_or(line));
    let message = "standard input: not a token, which has 1 to 4096 visible ASCII characters";
    let valid = (1..=LONGEST as usize).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic());
    anyhow::ensure!(valid, Fault::new(ErrorKind::InvalidArgument, message));
    Ok(token.to_owned())
}
