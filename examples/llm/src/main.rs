//! cargo run --manifest-path examples/llm/Cargo.toml -- [URL [PROMPT]]
//!
//! Prints a language model's reply token by token; Enter cuts it short. URL is the endpoint of a
//! service like OpenAI's (https://api.openai.com/v1/chat/completions) or Anthropic's
//! (https://api.anthropic.com/v1/messages). Without one the reply comes from a server inside this
//! program, on a free port of 127.0.0.1. The key is taken from OPENAI_API_KEY or ANTHROPIC_API_KEY,
//! the model's name from OPENAI_MODEL or ANTHROPIC_MODEL.

use std::env;
use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use llm::{Api, Question, Reply, canned};

const USAGE: &str = "\
usage: llm [URL [PROMPT]]

Prints the reply of the model at URL, an endpoint like https://api.openai.com/v1/chat/completions
or https://api.anthropic.com/v1/messages, token by token. Without a URL the reply is a canned one.

  OPENAI_API_KEY, ANTHROPIC_API_KEY   the key
  OPENAI_MODEL, ANTHROPIC_MODEL       the model's name
  HTTPS_PROXY and the like            the proxy";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if arguments.iter().any(|a| a == "--help" || a == "-h") {
        log(USAGE);
        return ExitCode::SUCCESS;
    }
    let option = arguments.iter().find(|argument| argument.starts_with('-'));
    let problem = match option {
        Some(option) => Some(format!("there is no option {option}")),
        None => (arguments.len() > 2).then(|| "there is more than a URL and a prompt".to_owned()),
    };
    if let Some(problem) = problem {
        eprintln!("llm: {problem}\n\n{USAGE}");
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

/// Says it to whoever may still be reading our output.
fn log(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}
