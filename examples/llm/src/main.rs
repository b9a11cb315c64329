//! cargo run --manifest-path examples/llm/Cargo.toml [-- URL [PROMPT]]
//!
//! Prints a chat completion token by token. URL is the endpoint of an OpenAI-style service, such as
//! https://api.openai.com/v1/chat/completions, with the key in OPENAI_API_KEY and the model's name in
//! OPENAI_MODEL. Without a URL the reply comes from a server inside this program.

use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    match run() {
        Ok(tokens) => {
            eprintln!("\n{tokens} tokens");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("\nllm: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<usize, Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = match arguments.next() {
        Some(option) if option.starts_with('-') => return Err("usage: llm [URL [PROMPT]]".into()),
        Some(url) => url,
        None => {
            let address = llm::canned::serve(Duration::from_millis(60))?;
            eprintln!("no URL given: reading a canned reply from http://{address}/");
            format!("http://{address}/")
        }
    };
    let prompt = arguments
        .next()
        .unwrap_or_else(|| "What are Server-Sent Events?".into());
    let key = std::env::var("OPENAI_API_KEY").ok();
    let model = std::env::var("OPENAI_MODEL").unwrap_or_else(|_| "gpt-4o-mini".into());
    let mut out = io::stdout().lock();
    Ok(llm::complete(
        &url,
        key.as_deref(),
        &model,
        &prompt,
        &mut out,
    )?)
}
