//! Sockets, as far as event streams use them beside writing.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// How much of what a client sends is read at once, to be thrown away.
const PIECE: usize = 512;

/// How many pieces are read before others have their turn.
const PIECES: usize = 4;

/// A connection that can be written to without blocking, and whose peer can be seen to hang up.
///
/// Implemented for [`TcpStream`], on Unix for `UnixStream`, and for
/// a `Box` of any. Implement it for a type that wraps one of them, and have it pass the calls on; what
/// it keeps in a buffer of its own must be out when [`flush`](Write::flush) returns.
///
/// ```
/// use std::io::{self, Write};
/// use std::net::TcpStream;
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use std::time::Duration;
/// use sse_io::hub::{Peer, Socket};
///
/// /// A connection whose bytes are counted.
/// struct Counted {
///     inner: TcpStream,
///     bytes: Arc<AtomicU64>,
/// }
///
/// impl Write for Counted {
///     fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
///         let written = self.inner.write(bytes)?;
///         self.bytes.fetch_add(written as u64, Ordering::Relaxed);
///         Ok(written)
///     }
///     fn flush(&mut self) -> io::Result<()> {
///         self.inner.flush()
///     }
/// }
///
/// impl Socket for Counted {
///     fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
///         Socket::set_nonblocking(&self.inner, nonblocking)
///     }
///     fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
///         Socket::set_write_timeout(&self.inner, timeout)
///     }
///     fn has_hung_up(&self) -> bool {
///         self.inner.has_hung_up()
///     }
///     fn peer(&self) -> io::Result<Peer> {
///         self.inner.peer()
///     }
/// }
///
/// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
/// let client = TcpStream::connect(listener.local_addr()?)?;
/// let bytes = Arc::new(AtomicU64::new(0));
/// let counted = Counted { inner: listener.accept()?.0, bytes: Arc::clone(&bytes) };
/// let emitter = sse_io::Emitter::new(Box::new(counted) as Box<dyn Socket>);
/// emitter.watch(Duration::from_secs(15))?; // as for a bare socket
/// emitter.emit(&sse_io::Event::new("x"))?;
/// assert_eq!(bytes.load(Ordering::Relaxed), 9);
/// # drop(client);
/// # Ok::<(), io::Error>(())
/// ```
pub trait Socket: Write + Send {
    /// Has writes fail with [`WouldBlock`](ErrorKind::WouldBlock) that would wait for the peer, or has
    /// them wait again.
    ///
    /// # Errors
    ///
    /// What the system answers.
    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()>;

    /// Bounds how long one write waits for the peer; `None` is without a limit.
    ///
    /// # Errors
    ///
    /// What the system answers; a time-out of zero is [`InvalidInput`](ErrorKind::InvalidInput).
    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()>;

    /// Whether the peer has closed or reset the connection. To be asked of a socket in non-blocking
    /// mode: there it does not block. Throws away what the peer has sent.
    fn has_hung_up(&self) -> bool;

    /// A second handle to the connection, to wait for the peer with.
    ///
    /// # Errors
    ///
    /// What the system answers when it has no file descriptor to give.
    fn peer(&self) -> io::Result<Peer>;
}

impl Socket for TcpStream {
    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        TcpStream::set_nonblocking(self, nonblocking)
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        TcpStream::set_write_timeout(self, timeout)
    }

    fn has_hung_up(&self) -> bool {
        has_ended(self)
    }

    fn peer(&self) -> io::Result<Peer> {
        self.try_clone().map(|socket| Peer(Handle::Tcp(socket)))
    }
}

#[cfg(unix)]
impl Socket for UnixStream {
    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        UnixStream::set_nonblocking(self, nonblocking)
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        UnixStream::set_write_timeout(self, timeout)
    }

    fn has_hung_up(&self) -> bool {
        has_ended(self)
    }

    fn peer(&self) -> io::Result<Peer> {
        self.try_clone().map(|socket| Peer(Handle::Unix(socket)))
    }
}

impl<S: Socket + ?Sized> Socket for Box<S> {
    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        (**self).set_nonblocking(nonblocking)
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        (**self).set_write_timeout(timeout)
    }

    fn has_hung_up(&self) -> bool {
        (**self).has_hung_up()
    }

    fn peer(&self) -> io::Result<Peer> {
        (**self).peer()
    }
}

/// Whether a reader in non-blocking mode is at its end, or has failed.
fn has_ended(mut socket: impl Read) -> bool {
    let mut piece = [0; PIECE];
    for _ in 0..PIECES {
        match socket.read(&mut piece) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => match error.kind() {
                ErrorKind::Interrupted => {}
                kind => return kind != ErrorKind::WouldBlock,
            },
        }
    }
    // It sends a great deal, so it is there.
    false
}

/// The other side of a connection, to wait for; see [`Socket::peer`].
pub struct Peer(Handle);

enum Handle {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Peer {
    /// Waits for the peer to hang up, at most for so long; returns whether it has, or whether nobody
    /// waits for it any more. The socket is a blocking one.
    pub(super) fn wait_hung_up(&self, timeout: Duration) -> bool {
        let deadline = Instant::now().checked_add(timeout);
        let mut piece = [0; PIECE];
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return false;
            }
            match self.read(left, &mut piece) {
                Ok(0) => return true,
                Ok(_) => {}
                // The deadline tells whether the time is up.
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted | ErrorKind::WouldBlock | ErrorKind::TimedOut => {}
                    _ => return true,
                },
            }
        }
    }

    /// Has a wait that is under way return, and every later one.
    pub(super) fn stop_waiting(&self) {
        // Fails where the peer has hung up, which ends the wait as well.
        let _ = match &self.0 {
            Handle::Tcp(socket) => socket.shutdown(Shutdown::Read),
            #[cfg(unix)]
            Handle::Unix(socket) => socket.shutdown(Shutdown::Read),
        };
    }

    fn read(&self, timeout: Option<Duration>, piece: &mut [u8]) -> io::Result<usize> {
        match &self.0 {
            Handle::Tcp(socket) => {
                socket.set_read_timeout(timeout)?;
                (&mut &*socket).read(piece)
            }
            #[cfg(unix)]
            Handle::Unix(socket) => {
                socket.set_read_timeout(timeout)?;
                (&mut &*socket).read(piece)
            }
        }
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").finish_non_exhaustive()
    }
}
