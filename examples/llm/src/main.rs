//! cargo run --manifest-path examples/llm/Cargo.toml -- [URL [PROMPT]]
//!
//! Prints a language model's reply token by token; Enter cuts it short. URL is the endpoint of a
//! service like OpenAI's (https://api.openai.com/v1/chat/completions) or Anthropic's
//! (https://api.anthropic.com/v1/messages). Without one the reply comes from a server inside this
//! program, on a free port of 127.0.0.1. The key is taken from OPENAI_API_KEY or ANTHROPIC_API_KEY,
//! the model's name from OPENAI_MODEL or ANTHROPIC_MODEL.

use std::env;
use std::error::Error;
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use llm::{Api, Question, Reply, canned};

const USAGE: &str = "\
usage: llm [URL [PROMPT]]

Prints the reply of the model at URL, an endpoint like https://api.openai.com/v1/chat/completions
or https://api.anthropic.com/v1/messages, token by token. Without a URL the reply is a canned one.

  OPENAI_API_KEY, ANTHROPIC_API_KEY   the key
  OPENAI_MODEL, ANTHROPIC_MODEL       the model's name";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--help") {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    if arguments.len() > 2 || arguments.iter().any(|argument| argument.starts_with('-')) {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    }
    let mut arguments = arguments.into_iter();
    match run(arguments.next(), arguments.next()) {
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

fn run(url: Option<String>, prompt: Option<String>) -> Result<usize, Box<dyn Error>> {
    let url = match url {
        Some(url) => url,
        None => {
            let address = canned::serve(Duration::from_millis(60))?;
            eprintln!("no URL given: reading a canned reply from http://{address}/");
            format!("http://{address}/")
        }
    };
    let api = Api::of(&url);
    let (key, model, default) = match api {
        Api::OpenAi => ("OPENAI_API_KEY", "OPENAI_MODEL", "gpt-4o-mini"),
        Api::Anthropic => (
            "ANTHROPIC_API_KEY",
            "ANTHROPIC_MODEL",
            "claude-3-5-haiku-latest",
        ),
    };
    let mut reply = Reply::to(Question {
        api,
        url,
        key: env::var(key).ok(),
        model: env::var(model).unwrap_or_else(|_| default.into()),
        prompt: prompt.unwrap_or_else(|| "What are Server-Sent Events?".into()),
    });
    if io::stdin().is_terminal() {
        let closer = reply.closer();
        thread::spawn(move || {
            let _ = io::stdin().read_line(&mut String::new());
            closer.close();
        });
    }
    Ok(reply.print(&mut io::stdout().lock())?)
}
