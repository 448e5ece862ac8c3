//! Bytes both ways, until one side has had enough.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

/// What is held of each direction.
const BUFFER: usize = 16 << 10;
/// How long the last bytes of a side that has ended may take to reach the other.
const FAREWELL: Duration = Duration::from_secs(5);

/// What ends a stream besides its two sides.
#[derive(Clone, Debug)]
pub(crate) struct Ends {
    /// The gateway stops.
    pub(crate) stopping: CancellationToken,
    /// Nothing went either way for so long.
    pub(crate) idle: Duration,
}

/// Bytes that went each way.
#[derive(Debug, Default)]
pub(crate) struct Carried {
    pub(crate) from_client: AtomicU64,
    pub(crate) to_client: AtomicU64,
}

/// Carries bytes until either side ends, as the reference does: each of them closes a stream as a whole. What a side had said
/// before it ended has gone to the other one by then.
pub(crate) async fn pump<C, B>(client: C, backend: B, ends: &Ends, carried: &Carried)
where
    C: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut from_backend, mut to_backend) = tokio::io::split(backend);
    let ended = tokio::select! {
        ended = copy(&mut from_client, &mut to_backend, &carried.from_client) => ended,
        ended = copy(&mut from_backend, &mut to_client, &carried.to_client) => ended,
        () = ends.stopping.cancelled() => Ok(()),
        () = quiet(carried, ends.idle) => Err(io::ErrorKind::TimedOut.into()),
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a stream broke");
    }
    let farewell = async { tokio::join!(to_client.shutdown(), to_backend.shutdown()) };
    // In time or not, both are closed when they are dropped.
    let _ = tokio::time::timeout(FAREWELL, farewell).await;
}

async fn copy(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    count: &AtomicU64,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        to.write_all(&buffer[..length]).await?;
        to.flush().await?;
        count.fetch_add(length as u64, Ordering::Relaxed);
    }
}

/// Waits until nothing has been carried for that long, give or take a tenth.
async fn quiet(carried: &Carried, idle: Duration) {
    let sum = || carried.from_client.load(Ordering::Relaxed) + carried.to_client.load(Ordering::Relaxed);
    let mut seen = sum();
    let mut silent = 0;
    while silent < 10 {
        tokio::time::sleep(idle / 10).await;
        let now = sum();
        silent = if now == seen { silent + 1 } else { 0 };
        seen = now;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    fn ends() -> Ends {
        Ends { stopping: CancellationToken::new(), idle: Duration::from_secs(100) }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_said_arrives_and_the_end_too() {
        let ((mut client, near), (far, mut backend)) = (duplex(64), duplex(64));
        let carrying = tokio::spawn(async move {
            let carried = Carried::default();
            pump(near, far, &ends(), &carried).await;
            carried.to_client.into_inner()
        });
        client.write_all(b"hello").await.unwrap();
        let mut word = [0; 5];
        backend.read_exact(&mut word).await.unwrap();
        assert_eq!(&word, b"hello");
        let much = vec![7; 100_000];
        let telling = tokio::spawn(async move { backend.write_all(&much).await });
        let mut heard = Vec::new();
        client.read_to_end(&mut heard).await.unwrap();
        telling.await.unwrap().unwrap();
        assert_eq!(heard.len(), 100_000, "all of it, although the backend is gone");
        assert_eq!(carrying.await.unwrap(), 100_000);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_it_and_so_does_a_stop() {
        let ((client, near), (far, backend)) = (duplex(64), duplex(64));
        let began = tokio::time::Instant::now();
        pump(near, far, &ends(), &Carried::default()).await;
        let took = began.elapsed().as_secs();
        assert!((100..=120).contains(&took), "{took} s");
        drop((client, backend));

        let ((_client, near), (far, _backend)) = (duplex(64), duplex(64));
        let ends = ends();
        ends.stopping.cancel();
        pump(near, far, &ends, &Carried::default()).await;
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_read_holds_up_who_writes() {
        let ((_client, near), (far, mut backend)) = (duplex(64), duplex(64));
        tokio::spawn(async move { pump(near, far, &ends(), &Carried::default()).await });
        let mut taken = 0;
        let flood = async {
            loop {
                taken += backend.write(&[7; 1000]).await.unwrap();
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(10), flood).await;
        assert!(taken <= BUFFER + 128, "{taken} bytes were taken of a flood that nobody reads");
    }
}
