//! A TCP connection with nothing but a length before each message.

use anyhow::ensure;
use clustron_testkit::Process;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader, BufWriter};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use super::{Talk, answer};

/// What a buffered writer or reader holds.
const BUFFER_BYTES: usize = 64 << 10;

/// The length that asks how many messages have arrived.
const COUNT: u32 = 0;

/// Stands beside the length of a message that wants no reply.
const ONE_WAY: u32 = 1 << 31;

type Reader = BufReader<OwnedReadHalf>;
type Writer = BufWriter<OwnedWriteHalf>;

fn buffered(stream: TcpStream) -> anyhow::Result<(Reader, Writer)> {
    stream.set_nodelay(true)?;
    let (reader, writer) = stream.into_split();
    let writer = BufWriter::with_capacity(BUFFER_BYTES, writer);
    Ok((BufReader::with_capacity(BUFFER_BYTES, reader), writer))
}

/// Answers the one connection that comes.
pub(super) async fn answer() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    answer::say_ready(&listener.local_addr()?.to_string());
    let (mut reader, mut writer) = buffered(listener.accept().await?.0)?;
    let (mut arrived, mut body) = (0_u64, vec![]);
    loop {
        let length = reader.read_u32().await?;
        body.resize((length & !ONE_WAY) as usize, 0);
        reader.read_exact(&mut body).await?;
        if length == COUNT {
            writer.write_u64(arrived).await?;
        } else if length & ONE_WAY != 0 {
            arrived += 1;
            continue;
        } else {
            writer.write_u32(length).await?;
            writer.write_all(&body).await?;
        }
        writer.flush().await?;
    }
}

/// See the module's documentation.
pub(super) struct Pair {
    reader: Reader,
    writer: Writer,
    reply: Vec<u8>,
    _process: Process,
}

impl Pair {
    pub(super) async fn start() -> anyhow::Result<Self> {
        let (process, addr) = answer::start("bare", &["bare"])?;
        let (reader, writer) = buffered(TcpStream::connect(addr).await?)?;
        Ok(Self { reader, writer, reply: vec![], _process: process })
    }
}

impl Talk for Pair {
    fn ask<'a>(&'a mut self, body: &'a [u8]) -> BoxFuture<'a, anyhow::Result<()>> {
        async move {
            self.writer.write_u32(u32::try_from(body.len())?).await?;
            self.writer.write_all(body).await?;
            self.writer.flush().await?;
            let length = self.reader.read_u32().await?;
            self.reply.resize(length as usize, 0);
            self.reader.read_exact(&mut self.reply).await?;
            ensure!(self.reply == body, "the reply is another");
            Ok(())
        }
        .boxed()
    }

    fn send<'a>(&'a mut self, body: &'a [u8], times: u64) -> BoxFuture<'a, anyhow::Result<()>> {
        async move {
            for _ in 0..times {
                self.writer.write_u32(ONE_WAY | u32::try_from(body.len())?).await?;
                self.writer.write_all(body).await?;
            }
            Ok(())
        }
        .boxed()
    }

    fn arrived(&mut self) -> BoxFuture<'_, anyhow::Result<u64>> {
        async move {
            self.writer.write_u32(COUNT).await?;
            self.writer.flush().await?;
            Ok(self.reader.read_u64().await?)
        }
        .boxed()
    }
}
