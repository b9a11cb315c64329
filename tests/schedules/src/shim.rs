//! What stands in for `std::sync`, `std::thread` and `std::time`: shuttle's, and a clock that moves
//! only when a wait with a limit runs out.
//!
//! Shuttle runs all threads of a schedule on one thread of the system, so a `std::thread_local` is
//! the state of the schedule.

use std::cell::Cell;

pub mod sync {
    use std::fmt;
    use std::ops::{Deref, DerefMut};

    pub use shuttle::sync::{atomic, mpsc};
    pub use std::sync::{
        Arc, LockResult, OnceLock, PoisonError, TryLockError, TryLockResult, Weak,
    };

    use super::time::{self, Duration};

    /// Shuttle's, whose guards do not tell their lock.
    #[derive(Debug, Default)]
    pub struct Mutex<T: ?Sized>(shuttle::sync::Mutex<T>);

    pub struct MutexGuard<'a, T: ?Sized> {
        /// Taken by a wait.
        guard: Option<shuttle::sync::MutexGuard<'a, T>>,
        mutex: &'a Mutex<T>,
    }

    impl<T> Mutex<T> {
        pub const fn new(value: T) -> Self {
            Mutex(shuttle::sync::Mutex::new(value))
        }
    }

    impl<T: ?Sized> Mutex<T> {
        pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
            let guard = |guard| MutexGuard {
                guard: Some(guard),
                mutex: self,
            };
            match self.0.lock() {
                Ok(inner) => Ok(guard(inner)),
                Err(poison) => Err(PoisonError::new(guard(poison.into_inner()))),
            }
        }

        pub fn try_lock(&self) -> TryLockResult<MutexGuard<'_, T>> {
            let guard = |guard| MutexGuard {
                guard: Some(guard),
                mutex: self,
            };
            match self.0.try_lock() {
                Ok(inner) => Ok(guard(inner)),
                Err(TryLockError::Poisoned(poison)) => Err(TryLockError::Poisoned(
                    PoisonError::new(guard(poison.into_inner())),
                )),
                Err(TryLockError::WouldBlock) => Err(TryLockError::WouldBlock),
            }
        }
    }

    impl<T: ?Sized> Deref for MutexGuard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            self.guard.as_ref().expect("no wait has it")
        }
    }

    impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            self.guard.as_mut().expect("no wait has it")
        }
    }

    impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            (**self).fmt(f)
        }
    }

    #[derive(Debug, Default)]
    pub struct Condvar(shuttle::sync::Condvar);

    /// Whether the wait ran out of time.
    #[derive(Clone, Copy, Debug)]
    pub struct WaitTimeoutResult(bool);

    impl WaitTimeoutResult {
        pub fn timed_out(&self) -> bool {
            self.0
        }
    }

    impl Condvar {
        pub const fn new() -> Self {
            Condvar(shuttle::sync::Condvar::new())
        }

        pub fn notify_one(&self) {
            self.0.notify_one();
        }

        pub fn notify_all(&self) {
            self.0.notify_all();
        }

        pub fn wait<'a, T>(&self, mut guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
            let mutex = guard.mutex;
            let inner = guard.guard.take().expect("no wait has it");
            let guard = |guard| MutexGuard {
                guard: Some(guard),
                mutex,
            };
            match self.0.wait(inner) {
                Ok(inner) => Ok(guard(inner)),
                Err(poison) => Err(PoisonError::new(guard(poison.into_inner()))),
            }
        }

        /// Runs out of time when the schedule says so, as often as the model allows. A wait that is
        /// allowed no more is one without a limit, so that a lost wake-up is a deadlock that shuttle
        /// tells.
        pub fn wait_timeout<'a, T>(
            &self,
            guard: MutexGuard<'a, T>,
            limit: Duration,
        ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
            let (result, late) = if super::runs_out() {
                let mutex = guard.mutex;
                drop(guard);
                shuttle::thread::yield_now();
                time::advance(limit);
                (mutex.lock(), true)
            } else {
                (self.wait(guard), false)
            };
            let late = WaitTimeoutResult(late);
            match result {
                Ok(guard) => Ok((guard, late)),
                Err(poison) => Err(PoisonError::new((poison.into_inner(), late))),
            }
        }
    }
}

pub mod thread {
    pub use shuttle::thread::{Builder, JoinHandle, Thread, current, park, spawn, yield_now};
    pub use std::thread::available_parallelism;
}

pub mod time {
    use std::cell::Cell;

    pub use std::time::{Duration, SystemTime, UNIX_EPOCH};

    std::thread_local! {
        static NOW: Cell<Duration> = const { Cell::new(Duration::from_secs(1)) };
    }

    /// A moment of the schedule's own clock.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub struct Instant(Duration);

    impl Instant {
        pub fn now() -> Self {
            Instant(NOW.get())
        }

        pub fn elapsed(&self) -> Duration {
            Instant::now().saturating_duration_since(*self)
        }

        pub fn checked_add(self, duration: Duration) -> Option<Self> {
            self.0.checked_add(duration).map(Instant)
        }

        pub fn checked_sub(self, duration: Duration) -> Option<Self> {
            self.0.checked_sub(duration).map(Instant)
        }

        pub fn duration_since(&self, earlier: Instant) -> Duration {
            self.saturating_duration_since(earlier)
        }

        pub fn saturating_duration_since(&self, earlier: Instant) -> Duration {
            self.0.saturating_sub(earlier.0)
        }
    }

    impl std::ops::Add<Duration> for Instant {
        type Output = Instant;

        fn add(self, duration: Duration) -> Instant {
            Instant(self.0 + duration)
        }
    }

    impl std::ops::Sub for Instant {
        type Output = Duration;

        fn sub(self, earlier: Instant) -> Duration {
            self.saturating_duration_since(earlier)
        }
    }

    /// Has so much time pass.
    pub fn advance(duration: Duration) {
        NOW.set(NOW.get().saturating_add(duration));
    }

    pub(super) fn reset() {
        NOW.set(Duration::from_secs(1));
    }
}

pub mod net {
    use std::io::{self, ErrorKind, Read, Write};
    use std::net::Shutdown;
    use std::sync::Arc;

    use super::sync::{Condvar, Mutex};
    use super::time::Duration;

    /// One end of a connection, as far as the crate uses it.
    #[derive(Debug)]
    pub struct UnixStream {
        this: Arc<End>,
        other: Arc<End>,
    }

    /// What one end is to read, and how many handles it has.
    #[derive(Debug, Default)]
    struct End {
        state: Mutex<Arrived>,
        changed: Condvar,
    }

    #[derive(Debug, Default)]
    struct Arrived {
        bytes: Vec<u8>,
        timeout: Option<Duration>,
        handles: usize,
        /// The other end is gone, or this one was shut down.
        is_over: bool,
    }

    impl UnixStream {
        pub fn pair() -> (Self, Self) {
            let (one, two) = (Arc::<End>::default(), Arc::<End>::default());
            let ends = [(&one, &two), (&two, &one)];
            let [one, two] = ends.map(|(this, other)| UnixStream::of(this, other));
            (one, two)
        }

        fn of(this: &Arc<End>, other: &Arc<End>) -> Self {
            this.state.lock().expect("no panic").handles += 1;
            UnixStream {
                this: Arc::clone(this),
                other: Arc::clone(other),
            }
        }

        pub fn try_clone(&self) -> io::Result<Self> {
            Ok(UnixStream::of(&self.this, &self.other))
        }

        /// How many handles the other end has.
        pub fn others(&self) -> usize {
            self.other.state.lock().expect("no panic").handles
        }

        pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
            assert!(!nonblocking, "no model needs that");
            Ok(())
        }

        pub fn set_write_timeout(&self, _: Option<Duration>) -> io::Result<()> {
            Ok(())
        }

        pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
            self.this.state.lock().expect("no panic").timeout = timeout;
            Ok(())
        }

        pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
            assert_eq!(how, Shutdown::Read, "no model needs another");
            self.this.end();
            Ok(())
        }
    }

    impl End {
        fn end(&self) {
            self.state.lock().expect("no panic").is_over = true;
            self.changed.notify_all();
        }
    }

    impl Read for &UnixStream {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let mut state = self.this.state.lock().expect("no panic");
            while state.bytes.is_empty() && !state.is_over {
                let changed = &self.this.changed;
                state = match state.timeout {
                    None => changed.wait(state).expect("no panic"),
                    Some(limit) => {
                        let waited = changed.wait_timeout(state, limit);
                        let (state, waited) = waited.expect("no panic");
                        if waited.timed_out() {
                            return Err(ErrorKind::WouldBlock.into());
                        }
                        state
                    }
                };
            }
            let count = buffer.len().min(state.bytes.len());
            buffer[..count].copy_from_slice(&state.bytes[..count]);
            state.bytes.drain(..count);
            Ok(count)
        }
    }

    impl Read for UnixStream {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            (&*self).read(buffer)
        }
    }

    impl Write for UnixStream {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut state = self.other.state.lock().expect("no panic");
            if state.handles == 0 {
                return Err(ErrorKind::BrokenPipe.into());
            }
            state.bytes.extend_from_slice(bytes);
            drop(state);
            self.other.changed.notify_all();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Drop for UnixStream {
        fn drop(&mut self) {
            let mut state = self.this.state.lock().expect("no panic");
            state.handles -= 1;
            let is_last = state.handles == 0;
            drop(state);
            if is_last {
                self.other.end();
            }
        }
    }
}

std::thread_local! {
    static TIMEOUTS: Cell<u32> = const { Cell::new(0) };
    static RAN_OUT: Cell<u32> = const { Cell::new(0) };
    static MAX_WAVE: Cell<usize> = const { Cell::new(64) };
}

/// Begins a schedule: so many waits may run out of time, and a wave wakes so many at most.
pub fn begin(timeouts: u32, max_wave: usize) {
    time::reset();
    TIMEOUTS.set(timeouts);
    RAN_OUT.set(0);
    MAX_WAVE.set(max_wave);
}

/// How many waits have run out of time.
pub fn ran_out() -> u32 {
    RAN_OUT.get()
}

/// How many a wave of wake-ups has at most.
pub fn max_wave() -> usize {
    MAX_WAVE.get()
}

/// Whether this wait is one of those that run out of time.
fn runs_out() -> bool {
    use shuttle::rand::Rng;
    let left = TIMEOUTS.get();
    let late = left > 0 && shuttle::rand::thread_rng().r#gen::<bool>();
    if late {
        TIMEOUTS.set(left - 1);
        RAN_OUT.set(RAN_OUT.get() + 1);
    }
    late
}
