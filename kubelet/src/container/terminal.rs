//! A client's side of a command: what it types, and what it is shown. With a terminal there is a line discipline between them,
//! as a kernel has it: what is typed is echoed, a line can be corrected until it is sent, Ctrl-C interrupts, Ctrl-D ends.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use streaming::remote::{Input, Output, Remote};
use tokio::sync::{Mutex, Notify, mpsc};

const INTERRUPT: u8 = 0x03;
const END: u8 = 0x04;
const BACKSPACE: [u8; 2] = [0x08, 0x7f];
/// Bytes of a line that is being typed.
const LINE: usize = 4096;
/// Bytes of what goes from one command to the next.
const PIPE: usize = 1 << 20;

/// Both sides together.
pub(super) struct Terminal {
    pub(super) keyboard: Source,
    pub(super) stdout: Sink,
    pub(super) stderr: Sink,
    interrupts: Arc<Notify>,
}

impl Terminal {
    /// Takes the streams out of what a client has opened.
    pub(super) fn of(remote: &mut Remote, tty: bool) -> Self {
        let screen = |output: Option<Output>| match output {
            Some(output) => Sink::Screen(Screen { output: Arc::new(Mutex::new(output)), tty }),
            None => Sink::Nothing,
        };
        let stdout = screen(remote.stdout.take());
        // A terminal has one screen.
        let stderr = if tty { stdout.clone() } else { screen(remote.stderr.take()) };
        let interrupts = Arc::new(Notify::new());
        let keyboard = match remote.stdin.take() {
            None => Source::Nothing,
            Some(input) if tty => {
                let (lines, typed) = mpsc::channel(16);
                let (echo, interrupts) = (stdout.clone(), interrupts.clone());
                tokio::spawn(async move { Discipline { lines, echo, interrupts, line: Vec::new() }.run(input).await });
                Source::Lines(Arc::new(Mutex::new(typed)))
            }
            Some(input) => Source::Raw(Arc::new(Mutex::new(input))),
        };
        Self { keyboard, stdout, stderr, interrupts }
    }

    /// Waits for a Ctrl-C.
    pub(super) async fn interrupted(&self) {
        self.interrupts.notified().await;
    }

    /// Says that nothing more will be shown.
    pub(super) async fn close(&self) {
        for sink in [&self.stdout, &self.stderr] {
            if let Sink::Screen(screen) = sink {
                // The result follows, whether or not anybody listens.
                let _ = screen.output.lock().await.finish().await;
            }
        }
    }
}

/// Where a command reads from.
#[derive(Clone)]
pub(super) enum Source {
    Nothing,
    /// What another command has written.
    Bytes(Arc<Mutex<Option<Bytes>>>),
    Raw(Arc<Mutex<Input>>),
    /// Lines of a terminal; `None` among them is a Ctrl-D.
    Lines(Arc<Mutex<mpsc::Receiver<Option<Bytes>>>>),
}

impl Source {
    pub(super) fn bytes(bytes: impl Into<Bytes>) -> Self {
        Self::Bytes(Arc::new(Mutex::new(Some(bytes.into()))))
    }

    /// The next piece; `None` at the end.
    pub(super) async fn next(&self) -> Option<Bytes> {
        match self {
            Self::Nothing => None,
            Self::Bytes(bytes) => bytes.lock().await.take(),
            Self::Raw(input) => input.lock().await.next().await,
            Self::Lines(lines) => lines.lock().await.recv().await.flatten(),
        }
    }
}

/// Where a command writes to.
#[derive(Clone)]
pub(super) enum Sink {
    Nothing,
    Screen(Screen),
    /// For another command, or a file.
    Buffer(Arc<parking_lot::Mutex<Vec<u8>>>),
}

/// What a client is shown.
#[derive(Clone)]
pub(super) struct Screen {
    output: Arc<Mutex<Output>>,
    tty: bool,
}

impl Sink {
    pub(super) fn buffer() -> (Self, Arc<parking_lot::Mutex<Vec<u8>>>) {
        let buffer = Arc::new(parking_lot::Mutex::new(Vec::new()));
        (Self::Buffer(buffer.clone()), buffer)
    }

    /// Writes, and waits while the client does not read. The error is that nobody is there any more.
    pub(super) async fn write(&self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let bytes = bytes.as_ref();
        match self {
            Self::Nothing => Ok(()),
            Self::Buffer(buffer) => {
                let mut buffer = buffer.lock();
                if buffer.len() + bytes.len() > PIPE {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                buffer.extend_from_slice(bytes);
                Ok(())
            }
            Self::Screen(Screen { output, tty: false }) => {
                output.lock().await.send(Bytes::copy_from_slice(bytes)).await
            }
            Self::Screen(Screen { output, tty: true }) => {
                let mut shown = Vec::with_capacity(bytes.len() + 8);
                for byte in bytes {
                    if *byte == b'\n' {
                        shown.push(b'\r');
                    }
                    shown.push(*byte);
                }
                output.lock().await.send(shown.into()).await
            }
        }
    }
}

/// Between a keyboard and a command.
struct Discipline {
    lines: mpsc::Sender<Option<Bytes>>,
    echo: Sink,
    interrupts: Arc<Notify>,
    line: Vec<u8>,
}

impl Discipline {
    async fn run(mut self, mut input: Input) {
        while let Some(typed) = input.next().await {
            for byte in typed {
                if self.key(byte).await.is_err() {
                    return;
                }
            }
        }
    }

    async fn key(&mut self, byte: u8) -> io::Result<()> {
        match byte {
            b'\r' | b'\n' => {
                self.echo.write("\n").await?;
                self.line.push(b'\n');
                self.send().await
            }
            INTERRUPT => {
                self.line.clear();
                self.interrupts.notify_waiters();
                self.echo.write("^C\n").await
            }
            END if self.line.is_empty() => self.lines.send(None).await.map_err(|_| gone()),
            END => self.send().await,
            byte if BACKSPACE.contains(&byte) => match self.line.pop() {
                Some(_) => self.echo.write("\x08 \x08").await,
                None => Ok(()),
            },
            byte if self.line.len() < LINE && (byte >= b' ' || byte == b'\t') => {
                self.line.push(byte);
                self.echo.write([byte]).await
            }
            _ => Ok(()),
        }
    }

    async fn send(&mut self) -> io::Result<()> {
        let line = std::mem::take(&mut self.line);
        self.lines.send(Some(line.into())).await.map_err(|_| gone())
    }
}

fn gone() -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}
