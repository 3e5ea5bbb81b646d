//! A stream that has arrived and is not open yet.
//!
//! A doorman takes whoever rings and goes back to the door; somebody else looks at the papers. So
//! [`Listener::accept`](super::Listener::accept) only takes what has arrived, and what the
//! transport has to settle on it, such as who is there, happens in [`Incoming::open`], beside other
//! streams.

use std::fmt;
use std::future::Future;
use std::io;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::Stream;

/// See the module's documentation. Dropping it closes the stream.
pub struct Incoming {
    from: String,
    opening: BoxFuture<'static, io::Result<Box<dyn Stream>>>,
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("from", &self.from).finish_non_exhaustive()
    }
}

impl Incoming {
    /// One on which there is something to settle first. `from` says where it comes from: to people,
    /// and to who limits how many may come at the same time from what stands before its last colon.
    pub fn new(
        from: impl Into<String>,
        opening: impl Future<Output = io::Result<Box<dyn Stream>>> + Send + 'static,
    ) -> Self {
        Self { from: from.into(), opening: opening.boxed() }
    }

    /// One that is open already.
    pub fn opened(from: impl Into<String>, stream: impl Stream) -> Self {
        Self::new(from, std::future::ready(Ok(Box::new(stream) as Box<dyn Stream>)))
    }

    /// Where it comes from: a host and, after the last colon, what tells its streams apart.
    pub fn from(&self) -> &str {
        &self.from
    }

    /// The stream, once the transport has settled what it has to. Whoever is at the other end
    /// decides how long that takes: the caller sets the deadline by dropping the future.
    ///
    /// # Errors
    /// [`io::ErrorKind::PermissionDenied`] if the other end does not prove that it belongs here;
    /// any other kind if the stream breaks before.
    pub async fn open(self) -> io::Result<Box<dyn Stream>> {
        self.opening.await
    }
}
