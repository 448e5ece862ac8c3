//! A FoundationDB cluster of processes on loopback, which a test may kill.

use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Where the programs are: the variables `FDBSERVER` and `FDBCLI`.
#[derive(Clone, Debug)]
pub struct Programs {
    server: PathBuf,
    client: PathBuf,
}

impl Programs {
    /// `None` where the variables are not set: there is no FoundationDB on this machine, or nobody wants it used.
    pub fn find() -> Option<Self> {
        let (server, client) = (std::env::var_os("FDBSERVER")?, std::env::var_os("FDBCLI")?);
        Some(Self { server: server.into(), client: client.into() })
    }
}

#[derive(Debug)]
struct Process {
    port: u16,
    child: Option<Child>,
}

/// The processes, and their files. They end when it is dropped; the files stay.
#[derive(Debug)]
pub struct Servers {
    programs: Programs,
    directory: PathBuf,
    processes: Vec<Process>,
}

impl Servers {
    /// Chooses ports for that many processes and writes the cluster file, each into the directory; starts none.
    pub fn prepare(programs: Programs, directory: &Path, count: usize) -> io::Result<Self> {
        // All ports are held at the same time, so that no two are the same.
        let listeners = (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<io::Result<Vec<_>>>()?;
        let ports = listeners.iter().map(|listener| Ok(listener.local_addr()?.port()));
        let ports = ports.collect::<io::Result<Vec<u16>>>()?;
        drop(listeners);
        let addresses: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let processes = ports.into_iter().map(|port| Process { port, child: None }).collect();
        let servers = Self { programs, directory: directory.to_owned(), processes };
        std::fs::write(servers.file(), format!("test:test@{}", addresses.join(",")))?;
        Ok(servers)
    }

    /// Starts them all, for the first time, and makes an empty database. `redundancy`: `single`, or `double` of three.
    pub fn configure(&mut self, redundancy: &str) -> io::Result<()> {
        for at in 0..self.processes.len() {
            self.start(at)?;
        }
        self.command(&format!("configure new {redundancy} ssd"))
    }

    /// [`Servers::prepare`] and [`Servers::configure`].
    pub fn run(programs: Programs, directory: &Path, count: usize, redundancy: &str) -> io::Result<Self> {
        let mut servers = Self::prepare(programs, directory, count)?;
        servers.configure(redundancy)?;
        Ok(servers)
    }

    /// How many they are.
    pub fn count(&self) -> usize {
        self.processes.len()
    }

    /// The cluster file.
    pub fn file(&self) -> PathBuf {
        self.directory.join("fdb.cluster")
    }

    /// What an operator would type into `fdbcli`.
    pub fn command(&self, command: &str) -> io::Result<()> {
        let mut client = Command::new(&self.programs.client);
        client.arg("-C").arg(self.file()).args(["--exec", command, "--timeout", "60"]);
        let said = client.output()?;
        match said.status.success() {
            true => Ok(()),
            false => Err(io::Error::other(String::from_utf8_lossy(&said.stdout).into_owned())),
        }
    }

    /// Starts one, for the first time or where it left off.
    pub fn start(&mut self, at: usize) -> io::Result<()> {
        let port = self.processes[at].port;
        let directory = self.directory.join(port.to_string());
        std::fs::create_dir_all(&directory)?;
        let mut command = Command::new(&self.programs.server);
        command.arg("--cluster-file").arg(self.file()).arg("--public-address").arg(format!("127.0.0.1:{port}"));
        command.arg("--datadir").arg(&directory).arg("--logdir").arg(&directory);
        // Each is a zone of its own, so that copies are kept on several.
        command.arg(format!("--locality-zoneid=z{at}")).arg(format!("--locality-machineid=m{at}"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.processes[at].child = Some(command.spawn()?);
        Ok(())
    }

    /// SIGKILL: the process writes nothing and says nothing any more.
    pub fn kill(&mut self, at: usize) -> io::Result<()> {
        match self.processes[at].child.take() {
            Some(mut child) => child.kill().and_then(|()| child.wait()).map(|_| ()),
            None => Ok(()),
        }
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for at in 0..self.processes.len() {
            let _ = self.kill(at);
        }
    }
}
