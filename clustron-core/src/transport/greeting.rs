//! What the first eight bytes of a connection tell: whether it is plain, with a key, or TLS.
//!
//! People who meet at the wrong door should not have to guess why nobody understands them. So a
//! node that hears the beginning of another kind of security than its own says which kind is its
//! own, in eight fixed bytes that tell nothing of its cluster, and hangs up.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Stream;
use super::peeked::FIRST_BYTES;

/// How every connection without security begins; a version follows.
pub(crate) const PLAIN: &[u8; 7] = b"CLUSTRN";

/// How every connection with a cluster key begins.
pub(super) const KEYED: &[u8; FIRST_BYTES] = b"CLUSKEY\x01";

/// What a notice begins with; its number follows.
const NOTICE: &[u8; 7] = b"CLUSSEC";

/// The most that is read of somebody who has been told that this is the wrong door.
const IGNORED_BYTES_MAX: u64 = 64 << 10;

/// How long such a one has to hang up.
const HANG_UP_WITHIN: Duration = Duration::from_millis(200);

/// What a node says to somebody who does not belong here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notice {
    /// Only TLS is spoken here.
    Tls,
    /// Only connections with a cluster key are taken here.
    Key,
    /// The key that was shown is none of those that are taken here.
    OtherKey,
}

/// What a connection begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Greeting {
    /// A node without security.
    Plain,
    /// A node with a cluster key.
    Key,
    /// TLS: a handshake record, or an alert.
    Tls,
    /// An answer of a node with security.
    Notice(Notice),
    /// Anything else, or too little.
    Unknown,
}

impl Greeting {
    /// Reads the first bytes, of which there may be any number.
    pub(crate) fn of(first: &[u8]) -> Self {
        match first {
            [name @ .., _] if name == PLAIN => Self::Plain,
            _ if first == KEYED => Self::Key,
            [name @ .., 1] if name == NOTICE => Self::Notice(Notice::Tls),
            [name @ .., 2] if name == NOTICE => Self::Notice(Notice::Key),
            [name @ .., 3] if name == NOTICE => Self::Notice(Notice::OtherKey),
            [0x15 | 0x16, 0x03, ..] => Self::Tls,
            _ => Self::Unknown,
        }
    }
}

impl Notice {
    fn bytes(self) -> [u8; FIRST_BYTES] {
        let mut bytes = [0; FIRST_BYTES];
        bytes[..7].copy_from_slice(NOTICE);
        bytes[7] = match self {
            Self::Tls => 1,
            Self::Key => 2,
            Self::OtherKey => 3,
        };
        bytes
    }

    /// Says it and hangs up. What the other one has said meanwhile is read and forgotten, or the
    /// system would answer it by resetting the connection, and the notice with it.
    pub(super) async fn tell(self, stream: &mut (impl Stream + ?Sized)) {
        tell(stream, &self.bytes()).await;
    }
}

/// Says some last bytes and hangs up, as [`Notice::tell`] does.
pub(crate) async fn tell(mut stream: &mut (impl Stream + ?Sized), bytes: &[u8]) {
    let telling = async {
        stream.write_all(bytes).await?;
        stream.flush().await?;
        stream.shutdown().await?;
        let mut rest = (&mut stream).take(IGNORED_BYTES_MAX);
        tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
    };
    // Whoever does not listen misses it.
    let _ = tokio::time::timeout(HANG_UP_WITHIN, telling).await;
}

/// The error of somebody who does not belong here, or to whom this node does not belong. It is
/// never evidence about the process at the other end.
pub(super) fn denied(reason: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, reason.into())
}

/// What to do when this node has the security that `ours` names and met that.
pub(super) fn mismatch(met: Greeting, ours: Notice) -> Option<io::Error> {
    let (kind, remedy) = match ours {
        Notice::Tls => ("TLS", "certificates (`tls`)"),
        Notice::Key | Notice::OtherKey => ("a cluster key", "the cluster key (`cluster_key`)"),
    };
    let text = match (met, ours) {
        (Greeting::Plain, _) => format!(
            "this node uses {kind}, the peer uses no security: give the peer {remedy}, as all nodes \
             of a cluster need the same"
        ),
        (Greeting::Key | Greeting::Notice(Notice::Key), Notice::Tls) => format!(
            "this node uses {kind}, the peer uses a cluster key: give all nodes of the cluster the \
             same kind of security"
        ),
        (Greeting::Tls | Greeting::Notice(Notice::Tls), Notice::Key | Notice::OtherKey) => format!(
            "this node uses {kind}, the peer uses TLS: give all nodes of the cluster the same kind \
             of security"
        ),
        (Greeting::Notice(Notice::OtherKey), Notice::Key | Notice::OtherKey) => {
            "the peer does not take the key with which this node calls: the first key of this \
             node's ring must be in the peer's ring, so add it there, or correct this node's"
                .to_owned()
        }
        _ => return None,
    };
    Some(denied(text))
}

/// A failure while it is being settled who is there. Whatever it was, somebody had accepted the
/// connection, so it must not look as if nobody listened.
pub(super) fn broke(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            io::Error::new(io::ErrorKind::ConnectionReset, error.to_string())
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_kind_of_connection_is_known_by_its_first_bytes() {
        for (first, greeting) in [
            (&b"CLUSTRN\x04"[..], Greeting::Plain),
            (b"CLUSKEY\x01", Greeting::Key),
            (b"CLUSKEY\x02", Greeting::Unknown),
            (b"CLUSTRN", Greeting::Unknown),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01", Greeting::Tls),
            (b"\x15\x03\x03\x00\x02\x02\x28", Greeting::Tls),
            (b"GET / HT", Greeting::Unknown),
            (b"", Greeting::Unknown),
        ] {
            assert_eq!(Greeting::of(first), greeting, "{first:?}");
        }
        for notice in [Notice::Tls, Notice::Key, Notice::OtherKey] {
            assert_eq!(Greeting::of(&notice.bytes()), Greeting::Notice(notice));
        }
    }

    #[test]
    fn every_mismatch_names_a_remedy_and_is_never_a_refused_connection() {
        for (met, ours) in [
            (Greeting::Plain, Notice::Tls),
            (Greeting::Plain, Notice::Key),
            (Greeting::Key, Notice::Tls),
            (Greeting::Tls, Notice::Key),
            (Greeting::Notice(Notice::Tls), Notice::Key),
            (Greeting::Notice(Notice::Key), Notice::Tls),
            (Greeting::Notice(Notice::OtherKey), Notice::Key),
        ] {
            let error = mismatch(met, ours).unwrap();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
            assert!(error.to_string().contains(": "), "{error}");
        }
        let error = broke(io::ErrorKind::ConnectionRefused.into());
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }

    proptest! {
        #[test]
        fn arbitrary_first_bytes_never_panic(bytes: Vec<u8>) {
            let greeting = Greeting::of(&bytes);
            let _ = mismatch(greeting, Notice::Tls);
        }
    }
}
