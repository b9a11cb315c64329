//! A response's body: read as the events ask for it, or its start alone.

use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::time::Duration;

use super::clock::Clock;
use super::closer::Control;

/// A body that fails as soon as the client is interrupted: after each read, whether or not that was
/// the end of an event.
pub(super) struct Watched<B> {
    body: B,
    control: Arc<Control>,
}

impl<B> Watched<B> {
    pub(super) fn new(body: B, control: Arc<Control>) -> Self {
        Watched { body, control }
    }
}

impl<B: BufRead> BufRead for Watched<B> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let bytes = self.body.fill_buf()?;
        match self.control.is_interrupted() {
            true => Err(io::ErrorKind::ConnectionAborted.into()),
            false => Ok(bytes),
        }
    }

    fn consume(&mut self, count: usize) {
        self.body.consume(count);
    }
}

impl<B: BufRead> Read for Watched<B> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

/// So much of a refused response's body is kept, in bytes.
const START: usize = 8 << 10;

/// Nothing more is read after so long: what a server has to say comes with the head.
const PATIENCE: Duration = Duration::from_secs(5);

/// The start of a body. Ends early where the body fails, or the client is interrupted.
pub(super) fn start(mut body: impl BufRead, control: &Control, clock: &dyn Clock) -> Vec<u8> {
    let since = clock.now();
    let mut start = Vec::new();
    while start.len() < START && !control.is_interrupted() {
        if clock.now().saturating_duration_since(since) >= PATIENCE {
            break;
        }
        let count = match body.fill_buf() {
            Ok(bytes) => {
                let count = bytes.len().min(START - start.len());
                start.extend_from_slice(&bytes[..count]);
                count
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        if count == 0 {
            break;
        }
        body.consume(count);
    }
    start
}

#[cfg(test)]
mod tests {
    use super::super::closer::Ending;
    use super::*;

    #[test]
    fn what_is_read_is_the_body_until_the_client_is_interrupted() {
        let control = Arc::new(Control::new());
        let mut watched = Watched::new(&b"abc"[..], Arc::clone(&control));
        let mut two = [0; 2];
        assert_eq!((watched.read(&mut two).unwrap(), &two), (2, b"ab"));
        control.close(Ending::Closer);
        let error = watched.read(&mut two).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
    }
}
