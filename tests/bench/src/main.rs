//! cargo run --release --manifest-path tests/bench/Cargo.toml -- [read] [chunks] [write] [serve]
//!     [--quick] [--stream NAME] [--clients N] [--rounds N] [--native]
//!
//! Measures sse-io beside its peers and beside the least that there is to do, all in one run, and
//! prints tables. Linux only.

use std::error::Error;
use std::process::Command;

use sse_io_bench::go::Go;
use sse_io_bench::goals::{self, Allocations, BURSTS, SINGLY};
use sse_io_bench::measure::{Role, measure};
use sse_io_bench::options::{Options, Part, USAGE};
use sse_io_bench::reading::{self, Inputs};
use sse_io_bench::report::{self, Cliffs};
use sse_io_bench::serving::{self, Kind, Load, Programs};
use sse_io_bench::streams::Stream;
use sse_io_bench::table::{Table, number, times};
use sse_io_bench::writing;

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

const METHOD: &str = "\
method
  All contenders of a table are in this process and take turns, in an order that changes by the
  round. Times are the CPU time of the thread; GB/s, events and ns are by the median round, 'best' by
  the best. A ratio is the median of the rounds' own ratios: trust it more than the figures, which
  move with the machine; the last column has it to one contender, with 16 KiB chunks where it is a
  reader. What a contender gives out is compared with what the generator put in, byte
  by byte: WRONG ones are not measured. Allocations are counted in a pass of their own.
  Chunks lie ready in memory, at no cost but a reference count; a BufReader pays for its copy.";

const GO: &str = "\
Go
  The readers in Go are in a process of their own, after the others, on the same bytes; theirs is the
  CPU time of that process, collector included, and their ratios are of medians. lowbit.dev/sse is not
  among them: the Go module proxy refused it (403 Forbidden) when they were chosen.";

fn main() -> Result<()> {
    // How this program starts itself as a server.
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if let [serve_as, name, _, connections] = &arguments[..] {
        if serve_as == "--serve-as" {
            return Ok(serving::be_server(name, connections.parse()?)?);
        }
    }
    let options = match Options::parse(arguments) {
        Ok(options) => options,
        Err(error) => return Err(format!("{error}\n\n{USAGE}").into()),
    };
    let streams = options.streams();
    let target = if cfg!(sse_io_bench_native) {
        "native"
    } else {
        "the default"
    };
    println!(
        "sse-io, {} rounds, target-cpu {target}\n\n{METHOD}\n",
        options.rounds()
    );
    println!("{}", report::streams(&streams));
    let go = Go::build();
    if options.wants(Part::Read) {
        read(&streams, options.rounds(), &go)?;
    }
    if options.wants(Part::Chunks) {
        chunks(&streams, options.rounds());
    }
    if options.wants(Part::Write) {
        write(&streams, options.rounds());
    }
    if options.wants(Part::Serve) {
        serve(&options, &go)?;
    }
    if options.native {
        run_native()?;
    }
    Ok(())
}

/// Says how it is measured, or why not; then it is None.
fn in_go<'g>(go: &'g Result<Go, String>, how: &str) -> Option<&'g Go> {
    match go {
        Ok(_) => println!("{how}\n"),
        Err(missing) => println!("Go: not measured, {missing}.\n"),
    }
    go.as_ref().ok()
}

fn read(streams: &[Stream], rounds: usize, go: &Result<Go, String>) -> Result<()> {
    let go = in_go(go, GO);
    let (mut outcomes, mut allocations) = (Vec::new(), Allocations::default());
    for stream in streams {
        let mut measured = reading::measure_stream(stream, rounds);
        if let Some(go) = go {
            measured.extend(go.measure_stream(stream, rounds)?);
        }
        let caption = format!("Reading {}: {}.", stream.name, stream.about);
        let size = (stream.bytes.len(), stream.sent.len());
        let table = report::contenders(caption, &measured, size, reading::REFERENCE);
        println!("{table}");
        outcomes.extend(goals::of_reading(stream.name, &measured));
        allocations.stream(stream, &measured);
    }
    let caption = "Reading, beside the best peer fed with pieces, the best peer fed with an event at a \
                   time, and the floor.";
    println!("{}", goals::table(caption, &outcomes));
    println!("{}", allocations.table());
    Ok(())
}

/// What a chunk of a stream may be: a small frame of TLS, a packet, a page, a socket's buffer.
const CHUNKS: [usize; 10] = [128, 256, 512, 1024, 1460, 4096, 8192, 16384, 32768, 65536];

fn chunks(streams: &[Stream], rounds: usize) {
    let mut parser = Cliffs::new(
        "Parser fed with chunks, times as fast as the best peer fed with the same chunks, by their size.",
        &CHUNKS,
    );
    let mut reader = Cliffs::new(
        "Reader over a BufReader, times as fast as the best peer fed with chunks of its size.",
        &CHUNKS,
    );
    for stream in streams {
        let inputs = Inputs::new(stream);
        let (mut of_parser, mut of_reader) = (Vec::new(), Vec::new());
        for size in CHUNKS {
            let mut contenders = reading::contenders_for_pieces(&inputs, size);
            contenders.retain(reading::is_fast);
            let measured = measure(contenders, rounds);
            let ours = measured.iter().filter(|one| one.role == Role::Ours);
            let best = goals::best_peer(&measured, |_| true);
            for (ours, ratios) in ours.zip([&mut of_parser, &mut of_reader]) {
                ratios.push(best.map_or(f64::NAN, |best| ours.times_as_fast_as(best)));
            }
        }
        parser.stream(stream.name, &of_parser);
        reader.stream(stream.name, &of_reader);
    }
    println!("{}\n{}", parser.table(), reader.table());
}

fn write(streams: &[Stream], rounds: usize) {
    let (mut outcomes, mut allocations) = (Vec::new(), Allocations::default());
    for stream in streams.iter().filter(|stream| writing::takes(stream)) {
        let measured = writing::measure_stream(stream, rounds);
        let caption = format!("Writing the events of {}: {}.", stream.name, stream.about);
        let size = (stream.bytes.len(), stream.sent.len());
        println!(
            "{}",
            report::contenders(caption, &measured, size, writing::REFERENCE)
        );
        outcomes.extend(goals::of_writing(stream.name, &measured));
        allocations.stream(stream, &measured);
    }
    let caption = "Writing, beside the naive loop, the floor and the best other crate.";
    println!("{}", goals::table(caption, &outcomes));
    println!("{}", allocations.table());
    for stream in streams.iter().filter(|stream| stream.name == "openai") {
        let (values, measured) = writing::measure_values(stream, rounds);
        let caption = "Writing serde_json values: those of openai.".to_owned();
        let size = (stream.bytes.len(), values);
        println!(
            "{}",
            report::contenders(caption, &measured, size, writing::VALUES_REFERENCE)
        );
    }
    let caption =
        "Write calls per event on a raw socket, for events with a name, an id and a line of data.";
    let mut table = Table::new(caption, 1, &["by", "calls"]);
    for (name, calls) in streams
        .iter()
        .filter(|stream| stream.name == "id-event")
        .flat_map(|stream| writing::write_calls(&stream.sent))
    {
        table.row([name.to_owned(), number(calls)]);
    }
    println!("{table}");
}

const SERVING: &str = "\
Serving
  Each server is a process of its own on the same cores as its clients, which are one thread here, for
  both. An event has about 200 bytes of data and an id; sockets have no-delay, streams have heartbeats. The
  next burst is published when every client has the last one. CPU is that of the server's process,
  with the command that has it publish (some microseconds for each burst); the times from publish to
  receipt are of all events of all clients. Figures are medians over rounds in which all take turns.";

const GO_SERVING: &str = "\
Go
  net/http with a goroutine and a channel for each connection, which joins what waits into one flush;
  the broker of go-sse, which keeps nothing for those that come back; and one goroutine that writes to
  all connections in turn, taken from net/http: the least that there is to do.";

fn serve(options: &Options, go: &Result<Go, String>) -> Result<()> {
    let rounds = options.rounds();
    let program = std::env::current_exe()?;
    println!("{SERVING}\n");
    let programs = Programs {
        own: &program,
        go: in_go(go, GO_SERVING),
    };
    let mut outcomes = Vec::new();
    for clients in options.clients() {
        for (mode, load) in loads(clients, options.quick) {
            let caption = format!("Serving, clients: {clients}, {mode}.");
            let servers = serving::contest(programs, load, rounds)?;
            println!("{}", report::servers(caption, &servers));
            outcomes.extend(goals::of_serving(clients, mode, &servers));
        }
    }
    let caption = "Serving, deliveries per second of the server's CPU time.";
    println!("{}", goals::table(caption, &outcomes));

    let (readers, crowd) = if options.quick {
        (2, 1_000)
    } else {
        (10, 10_000)
    };
    let caption = format!(
        "One subscriber more that never reads, beside {readers} that do: the median call to publish."
    );
    let mut table = Table::new(caption, 1, &["server", "without it", "with it"]);
    // Each server that it stops takes half a minute.
    let kinds = programs
        .kinds()
        .filter(|kind| !(kind.is_go() && options.quick));
    for kind in kinds {
        let name = kind.name().to_owned();
        match serving::stalled(programs, kind, readers, rounds) {
            Ok((ratio, without)) => table.row([name, report::time(without), times(ratio)]),
            Err(error) if kind.is_ours() || kind == Kind::Axum => return Err(error.into()),
            Err(error) => {
                table.note(format!("{name}: {error}"));
                table.row([name, "-".into(), "STOPS".into()]);
            }
        }
    }
    println!("{table}");

    let waiting = serving::wait(crowd, rounds)?;
    let caption =
        format!("{crowd} subscribers that wait on one hub, each with a thread and a topic.");
    let mut table = Table::new(caption, 1, &["publish to", "the call", "until received"]);
    let mut row = |whom: &str, call, end| table.row([whom.to_owned(), call, end]);
    let (all, all_end) = (waiting.to_all, waiting.all_have_it);
    let (one, one_end) = (waiting.to_one, waiting.one_has_it);
    row("all of them", report::time(all), report::time(all_end));
    row("the topic of one", report::time(one), report::time(one_end));
    row("all over one", times(all / one), times(all_end / one_end));
    println!("{table}");
    Ok(())
}

/// How many events go out how often, so that a round takes some tenths of a second.
fn loads(clients: usize, quick: bool) -> [(&'static str, Load); 2] {
    let less = if quick { 4 } else { 1 };
    let load = |bursts: usize, events| Load {
        clients,
        bursts: (bursts / less).max(1),
        events,
    };
    let (bursts, singles) = match clients {
        1 => (200, 2000),
        100 => (12, 100),
        _ => (4, 12),
    };
    [(BURSTS, load(bursts, 128)), (SINGLY, load(singles, 1))]
}

/// Runs this program again, compiled for the processor that it runs on.
fn run_native() -> Result<()> {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    // Beside this program's own build, which it must not replace.
    let target = std::env::current_exe()?.with_file_name("native");
    let status = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
        .args([
            "run",
            "--release",
            "--locked",
            "--manifest-path",
            manifest,
            "--target-dir",
        ])
        .arg(target)
        .arg("--")
        .args(
            std::env::args()
                .skip(1)
                .filter(|argument| argument != "--native"),
        )
        .env(
            "RUSTFLAGS",
            "-C target-cpu=native --cfg sse_io_bench_native",
        )
        .status()?;
    if !status.success() {
        return Err("the native run failed".into());
    }
    Ok(())
}
