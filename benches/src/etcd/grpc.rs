//! As much of gRPC as it takes to put a value into etcd: a unary call is one HTTP/2 stream, with
//! one message each way and the outcome in the trailers. The gateway that speaks JSON would be
//! measured as well, and costs etcd more than the put.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::{BufMut, Bytes, BytesMut};
use h2::client::SendRequest;
use http::{HeaderMap, Method, Request, Version};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// What etcd calls the method.
const PUT: &str = "/etcdserverpb.KV/Put";

/// The longest reply that is read. That of a put has some 30 bytes.
const REPLY_BYTES_MAX: usize = 64 << 10;

/// One connection to a member, over which many calls go at the same time. Clones share it.
#[derive(Clone)]
pub(crate) struct Puts {
    addr: String,
    sender: SendRequest<Bytes>,
}

impl Puts {
    /// Connects. What moves the connection's bytes runs in `tasks`.
    pub(crate) async fn connect(addr: &str, tasks: &mut JoinSet<()>) -> anyhow::Result<Self> {
        let stream =
            TcpStream::connect(addr).await.with_context(|| format!("no etcd at {addr}"))?;
        stream.set_nodelay(true)?;
        let (sender, connection) = h2::client::handshake(stream).await?;
        tasks.spawn(async move {
            // The calls that are under way fail with it, and say so.
            let _ = connection.await;
        });
        Ok(Self { addr: addr.to_owned(), sender })
    }

    /// Puts a value under a key, and waits until etcd has acknowledged it.
    pub(crate) async fn put(&self, key: &[u8], value: &[u8], wait: Duration) -> anyhow::Result<()> {
        let put = tokio::time::timeout(wait, self.call(framed(&put_request(key, value))));
        put.await.context("it was not answered in time")?.context("etcd did not put a value")
    }

    async fn call(&self, message: Bytes) -> anyhow::Result<()> {
        let request = Request::builder()
            .method(Method::POST)
            .version(Version::HTTP_2)
            .uri(format!("http://{}{PUT}", self.addr))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())?;
        let mut sender = self.sender.clone().ready().await?;
        let (response, mut stream) = sender.send_request(request, false)?;
        stream.send_data(message, true)?;
        let (head, mut body) = response.await?.into_parts();
        ensure!(head.status.is_success(), "HTTP status {}", head.status);
        let mut bytes = 0;
        while let Some(data) = body.data().await {
            let data = data?;
            bytes += data.len();
            ensure!(bytes <= REPLY_BYTES_MAX, "the reply has more than {REPLY_BYTES_MAX} bytes");
            body.flow_control().release_capacity(data.len())?;
        }
        match body.trailers().await? {
            Some(trailers) => outcome(&trailers),
            // A call that fails before there is a reply says so in the only header.
            None => outcome(&head.headers),
        }
    }
}

/// Whether the call succeeded, by the status that ends it.
fn outcome(trailers: &HeaderMap) -> anyhow::Result<()> {
    let text = |name| trailers.get(name).and_then(|value| value.to_str().ok());
    match text("grpc-status") {
        Some("0") => Ok(()),
        Some(status) => bail!("gRPC status {status}: {}", text("grpc-message").unwrap_or("")),
        None => bail!("the reply has no gRPC status"),
    }
}

/// `etcdserverpb.PutRequest`: the key is field 1, the value field 2.
fn put_request(key: &[u8], value: &[u8]) -> Bytes {
    let mut message = BytesMut::new();
    for (field, bytes) in [(1, key), (2, value)] {
        // Wire type 2: a length, and as many bytes.
        message.put_u8(field << 3 | 2);
        put_varint(&mut message, bytes.len());
        message.put_slice(bytes);
    }
    message.freeze()
}

/// A message as gRPC frames it: whether it is compressed, its length, itself.
fn framed(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(5 + message.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put_slice(message);
    framed.freeze()
}

/// Seven bits to a byte, the lowest first; the highest bit says that there are more.
fn put_varint(message: &mut BytesMut, mut value: usize) {
    while value >= 0x80 {
        message.put_u8((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    message.put_u8(value as u8);
}

#[cfg(test)]
mod tests {
    use http::Response;
    use tokio::net::TcpListener;

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    #[test]
    fn a_put_is_encoded_as_protobuf_says() {
        assert_eq!(&put_request(b"k", b"vw")[..], b"\x0a\x01k\x12\x02vw");
        let long = put_request(b"k", &[7; 300]);
        assert_eq!(&long[..6], b"\x0a\x01k\x12\xac\x02");
        assert_eq!(long.len(), 6 + 300);
        assert_eq!(&framed(b"abc")[..], b"\0\0\0\0\x03abc");
    }

    /// Answers one call as a server would, with this status. Gives what was sent and what came of
    /// it.
    async fn answered_with(status: &'static str) -> (Bytes, anyhow::Result<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let mut tasks = JoinSet::new();
        let (heard, hear) = tokio::sync::oneshot::channel();
        tasks.spawn(async move {
            let stream = listener.accept().await.unwrap().0;
            let mut connection = h2::server::handshake(stream).await.unwrap();
            let (request, mut respond) = connection.accept().await.unwrap().unwrap();
            assert_eq!(request.uri().path(), PUT);
            let moves = async { while connection.accept().await.is_some() {} };
            let answers = async {
                let mut body = request.into_body();
                let got = body.data().await.unwrap().unwrap();
                let mut stream = respond.send_response(Response::new(()), false).unwrap();
                stream.send_data(framed(b""), false).unwrap();
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", status.parse().unwrap());
                stream.send_trailers(trailers).unwrap();
                heard.send(got).unwrap();
            };
            tokio::join!(moves, answers);
        });
        let puts = Puts::connect(&addr, &mut tasks).await.unwrap();
        let outcome = puts.put(b"k", b"v", SOON).await;
        (hear.await.unwrap(), outcome)
    }

    #[tokio::test]
    async fn a_call_succeeds_when_its_trailers_say_so() {
        let (sent, outcome) = answered_with("0").await;
        outcome.unwrap();
        assert_eq!(sent, framed(&put_request(b"k", b"v")));
    }

    #[tokio::test]
    async fn a_call_fails_with_the_status_that_its_trailers_name() {
        let (_, outcome) = answered_with("14").await;
        assert!(format!("{:#}", outcome.unwrap_err()).contains("gRPC status 14"));
    }
}
