//! Writers with a script: they record every call, fail or panic at one, take little, or block.

use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long to wait for what must come.
pub const DEADLINE: Duration = Duration::from_secs(if cfg!(miri) { 600 } else { 30 });

/// What a writer was asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// These bytes were taken.
    Write(Vec<u8>),
    Flush,
    /// A write or flush that failed, or panicked.
    Failure,
    /// The writer was dropped.
    Drop,
}

/// One call of a writer.
#[derive(Clone, Debug)]
pub struct Call {
    pub what: What,
    /// The name of the thread that made it.
    pub thread: Option<String>,
    /// When it came.
    pub at: Instant,
}

/// The record of a writer's calls, to look at while something else owns the writer.
#[derive(Clone, Debug, Default)]
pub struct Record {
    shared: Arc<(Mutex<Vec<Call>>, Condvar)>,
}

impl Record {
    pub fn new() -> Self {
        Record::default()
    }

    /// A writer that is recorded here.
    pub fn writer(&self) -> Recorded {
        Recorded {
            record: self.clone(),
            fault: None,
            calls: 0,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Call>> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, what: What) {
        let call = Call {
            what,
            thread: thread::current().name().map(str::to_owned),
            at: Instant::now(),
        };
        self.lock().push(call);
        self.shared.1.notify_all();
    }

    pub fn calls(&self) -> Vec<Call> {
        self.lock().clone()
    }

    pub fn whats(&self) -> Vec<What> {
        self.lock().iter().map(|call| call.what.clone()).collect()
    }

    /// What each write took.
    pub fn writes(&self) -> Vec<Vec<u8>> {
        writes(&self.lock())
    }

    /// All bytes that were taken.
    pub fn bytes(&self) -> Vec<u8> {
        self.writes().concat()
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.bytes()).expect("an event stream is UTF-8")
    }

    pub fn count(&self, what: &What) -> usize {
        self.lock().iter().filter(|call| call.what == *what).count()
    }

    pub fn flushes(&self) -> usize {
        self.count(&What::Flush)
    }

    pub fn drops(&self) -> usize {
        self.count(&What::Drop)
    }

    /// Waits until the calls are as wanted.
    #[track_caller]
    pub fn wait_until(&self, wanted: impl Fn(&[Call]) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        let mut calls = self.lock();
        while !wanted(&calls) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "it did not come: {calls:?}");
            calls = self
                .shared
                .1
                .wait_timeout(calls, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

/// What each write took.
pub fn writes(calls: &[Call]) -> Vec<Vec<u8>> {
    calls
        .iter()
        .filter_map(|call| match &call.what {
            What::Write(bytes) => Some(bytes.clone()),
            _ => None,
        })
        .collect()
}

/// Where a [`Recorded`] writer goes wrong, counted from 0 over its writes and flushes together.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// This call fails.
    Call(usize, ErrorKind),
    /// This call panics.
    Panic(usize),
    /// So many bytes are taken, then writes fail.
    Bytes(usize, ErrorKind),
}

/// Takes everything and records it, unless it was told to go wrong.
#[derive(Debug)]
pub struct Recorded {
    record: Record,
    fault: Option<Fault>,
    calls: usize,
}

impl Recorded {
    pub fn with_fault(mut self, fault: Fault) -> Self {
        self.fault = Some(fault);
        self
    }

    fn fail_if_due(&mut self) -> io::Result<()> {
        let call = self.calls;
        self.calls += 1;
        match self.fault {
            Some(Fault::Call(at, kind)) if at == call => {
                self.record.push(What::Failure);
                Err(kind.into())
            }
            Some(Fault::Panic(at)) if at == call => {
                self.record.push(What::Failure);
                panic!("the writer was told to panic");
            }
            _ => Ok(()),
        }
    }
}

impl Write for Recorded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.fail_if_due()?;
        let mut taken = bytes.len();
        if let Some(Fault::Bytes(left, kind)) = &mut self.fault {
            if *left == 0 {
                self.record.push(What::Failure);
                return Err((*kind).into());
            }
            taken = taken.min(*left);
            *left -= taken;
        }
        self.record.push(What::Write(bytes[..taken].to_vec()));
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.fail_if_due()?;
        self.record.push(What::Flush);
        Ok(())
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        self.record.push(What::Drop);
    }
}

/// Takes a few bytes at a time, and every other call is interrupted.
#[derive(Debug)]
pub struct Short<W> {
    pub inner: W,
    pub most: usize,
    interrupted: bool,
}

impl<W> Short<W> {
    pub fn new(inner: W, most: usize) -> Self {
        Short {
            inner,
            most,
            interrupted: false,
        }
    }

    fn interrupt(&mut self) -> io::Result<()> {
        self.interrupted = !self.interrupted;
        if self.interrupted {
            return Err(ErrorKind::Interrupted.into());
        }
        Ok(())
    }
}

impl<W: Write> Write for Short<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.interrupt()?;
        self.inner.write(&bytes[..bytes.len().min(self.most)])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.interrupt()?;
        self.inner.flush()
    }
}

/// Blocks in the write after [`Gate::shut`], until it is opened or the gate is gone.
#[derive(Debug)]
pub struct Gated<W> {
    inner: W,
    shut: Arc<AtomicBool>,
    entered: Sender<()>,
    opened: Receiver<()>,
}

/// The other side of a [`Gated`] writer.
#[derive(Debug)]
pub struct Gate {
    shut: Arc<AtomicBool>,
    entered: Receiver<()>,
    opened: Sender<()>,
}

/// A writer that blocks on demand. The gate is open at first.
pub fn gated<W>(inner: W) -> (Gated<W>, Gate) {
    let shut = Arc::new(AtomicBool::new(false));
    let (entered, seen) = mpsc::channel();
    let (open, opened) = mpsc::channel();
    let gate = Gate {
        shut: Arc::clone(&shut),
        entered: seen,
        opened: open,
    };
    let writer = Gated {
        inner,
        shut,
        entered,
        opened,
    };
    (writer, gate)
}

impl Gate {
    /// The next write blocks.
    pub fn shut(&self) {
        self.shut.store(true, Ordering::SeqCst);
    }

    /// Waits until a write is blocked.
    #[track_caller]
    pub fn wait_blocked(&self) {
        self.entered
            .recv_timeout(DEADLINE)
            .expect("a write comes to the gate");
    }

    /// Lets the blocked write go on.
    pub fn open(&self) {
        self.opened.send(()).expect("the writer waits at the gate");
    }
}

impl<W: Write> Write for Gated<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.shut.swap(false, Ordering::SeqCst) {
            // The gate may be gone: then it is open.
            if self.entered.send(()).is_ok() {
                let _ = self.opened.recv();
            }
        }
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
