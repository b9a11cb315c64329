//! How the servers among the examples start: their arguments, and the listener. What goes wrong is told
//! in a sentence. Nothing but std.

use std::error::Error;
use std::io::{self, ErrorKind, Write};
use std::net::TcpListener;
use std::process::ExitCode;

use sse_io::http::Guard;

/// Runs a program that takes `[--host NAME]... [ADDRESS]`: listens at this address if no other is given,
/// and starts it.
pub(crate) fn main<F>(usage: &str, address: &str, start: F) -> ExitCode
where
    F: FnOnce(TcpListener, Guard) -> Result<(), Box<dyn Error + Send + Sync>>,
{
    let arguments = match Arguments::parse(std::env::args().skip(1), address) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            log(usage);
            return ExitCode::SUCCESS;
        }
        Err(problem) => {
            eprintln!("{problem}\n\n{usage}");
            return ExitCode::from(2);
        }
    };
    let started = listen(&arguments.address).and_then(|listener| start(listener, arguments.guard));
    match started {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

struct Arguments {
    address: String,
    guard: Guard,
}

impl Arguments {
    /// None if the help is asked for.
    fn parse(
        mut arguments: impl Iterator<Item = String>,
        address: &str,
    ) -> Result<Option<Self>, String> {
        let mut given = None;
        let mut guard = Guard::new();
        while let Some(argument) = arguments.next() {
            match &*argument {
                "--help" | "-h" => return Ok(None),
                "--host" => {
                    let name = arguments.next().ok_or("--host needs a name")?;
                    guard = guard.with_host(name);
                }
                option if option.starts_with('-') => {
                    return Err(format!("there is no option {option}"));
                }
                _ if given.is_some() => return Err("there is more than one address".to_owned()),
                _ => given = Some(argument),
            }
        }
        let address = given.unwrap_or_else(|| address.to_owned());
        Ok(Some(Arguments { address, guard }))
    }
}

/// Listens at this address, and says where that is.
fn listen(address: &str) -> Result<TcpListener, Box<dyn Error + Send + Sync>> {
    let listener = TcpListener::bind(address).map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => format!(
            "cannot listen on {address}: another program does already. Give another address after \
             `--`, or 127.0.0.1:0 for any free port"
        ),
        _ => format!("cannot listen on {address}: {error}"),
    })?;
    log(&format!("listening on http://{}/", listener.local_addr()?));
    Ok(listener)
}

/// Says it to whoever may still be reading our output.
pub(crate) fn log(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}
