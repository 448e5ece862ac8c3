//! Scripts: commands in sequence (`;`, `&&`, `||`), in pipes, and with redirections; variables; a prompt for those who have a
//! terminal. No loops, functions or substitutions: they are refused by name.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use api::ambient::Ambient;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use streaming::remote::Outcome;

use super::Container;
use super::commands;
use super::files::{FileError, absolute};
use super::terminal::{Sink, Source, Terminal};
use super::words::{Part, Token, tokens};

/// Bytes of one command's words.
const ARGUMENTS: usize = 128 << 10;
/// Shells within shells.
const DEPTH: usize = 16;

/// What a command has written so far.
type Written = Arc<parking_lot::Mutex<Vec<u8>>>;

/// A shell, and the command that it was started for.
pub(super) struct Shell {
    pub(super) container: Arc<Container>,
    pub(super) ambient: Ambient,
    pub(super) variables: BTreeMap<String, String>,
    pub(super) directory: String,
    /// Of the last command.
    code: u8,
    tty: bool,
    depth: usize,
    /// Set by `exit`.
    pub(super) exit: Option<u8>,
}

/// Where a command reads and writes.
#[derive(Clone)]
pub(super) struct Stdio {
    pub(super) stdin: Source,
    pub(super) stdout: Sink,
    pub(super) stderr: Sink,
}

impl Shell {
    pub(super) fn new(container: Arc<Container>, ambient: Ambient, tty: bool) -> Self {
        let variables = container.env.iter().cloned().collect();
        let directory = container.working_dir.clone();
        Self { container, ambient, variables, directory, code: 0, tty, depth: 0, exit: None }
    }

    /// Runs one command, as a container's runtime would.
    pub(super) async fn exec(mut self, command: &[String], terminal: &Terminal) -> Outcome {
        let stdio = Stdio {
            stdin: terminal.keyboard.clone(),
            stdout: terminal.stdout.clone(),
            stderr: terminal.stderr.clone(),
        };
        let interactive = self.tty && commands::is_shell(command) && command.len() == 1;
        let ran = if interactive {
            self.prompt(terminal, &stdio).await
        } else {
            tokio::select! {
                ran = self.command(command, &stdio) => ran,
                () = terminal.interrupted() => Ok(130),
            }
        };
        match ran {
            Ok(0) => Outcome::Success,
            Ok(code) => Outcome::Exit(code),
            Err(error) => Outcome::Failed(format!("error executing command in container: {error}")),
        }
    }

    /// Reads commands from a terminal until it is closed, or told to exit.
    async fn prompt(&mut self, terminal: &Terminal, stdio: &Stdio) -> io::Result<u8> {
        let greeting = format!("{}: simulated, type help for what there is\n", self.container.title());
        stdio.stdout.write(greeting).await?;
        loop {
            stdio.stdout.write(format!("{} # ", self.directory)).await?;
            let line = tokio::select! {
                line = stdio.stdin.next() => line,
                () = terminal.interrupted() => continue,
            };
            let Some(line) = line else { return Ok(self.code) };
            let line = String::from_utf8_lossy(&line).into_owned();
            let code = tokio::select! {
                code = self.script(&line, stdio) => code?,
                () = terminal.interrupted() => 130,
            };
            self.code = code;
            if let Some(code) = self.exit {
                return Ok(code);
            }
        }
    }

    /// Runs a script; the code of its last command.
    pub(super) fn script<'a>(&'a mut self, script: &'a str, stdio: &'a Stdio) -> BoxFuture<'a, io::Result<u8>> {
        async move {
            let tokens = match tokens(script) {
                Ok(tokens) => tokens,
                Err(why) => {
                    stdio.stderr.write(format!("sh: {why}\n")).await?;
                    return Ok(2);
                }
            };
            let mut before = ";";
            for (pipeline, behind) in split(&tokens, &[";", "&&", "||"]) {
                let wanted = match before {
                    "&&" => self.code == 0,
                    "||" => self.code != 0,
                    _ => true,
                };
                if wanted && !pipeline.is_empty() {
                    self.code = self.pipeline(pipeline, stdio).await?;
                }
                if let Some(code) = self.exit {
                    return Ok(code);
                }
                // What was skipped passes the code on, so the next operator looks at the same one.
                before = behind;
            }
            Ok(self.code)
        }
        .boxed()
    }

    /// Each command gets what the one before it has written, once that has ended.
    async fn pipeline(&mut self, pipeline: &[Token], stdio: &Stdio) -> io::Result<u8> {
        let stages = split(pipeline, &["|"]);
        let mut stdin = stdio.stdin.clone();
        let mut code = 0;
        for (at, (stage, _)) in stages.iter().enumerate() {
            let last = at + 1 == stages.len();
            let (pipe, written) = Sink::buffer();
            let stdout = if last { stdio.stdout.clone() } else { pipe };
            let own = Stdio { stdin, stdout, stderr: stdio.stderr.clone() };
            code = self.simple(stage, own).await?;
            stdin = Source::bytes(std::mem::take(&mut *written.lock()));
        }
        Ok(code)
    }

    /// One command with its redirections.
    async fn simple(&mut self, tokens: &[Token], mut stdio: Stdio) -> io::Result<u8> {
        let mut words = Vec::new();
        let mut files: Vec<(String, bool, Written)> = Vec::new();
        let mut tokens = tokens.iter();
        while let Some(token) = tokens.next() {
            let operator = match token {
                Token::Word(parts) => {
                    words.extend(self.expand(parts));
                    if words.iter().map(String::len).sum::<usize>() + words.len() > ARGUMENTS {
                        return self.complain(&stdio, "Argument list too long", 126).await;
                    }
                    continue;
                }
                Token::Operator("2>&1") => {
                    stdio.stderr = stdio.stdout.clone();
                    continue;
                }
                Token::Operator(operator) => *operator,
            };
            let target = match tokens.next() {
                Some(Token::Word(parts)) => self.expand(parts).concat(),
                _ => return self.complain(&stdio, "a redirection leads nowhere", 2).await,
            };
            let path = absolute(&self.directory, &target);
            if operator == "<" {
                match self.container.files.read(&path) {
                    Ok(content) => stdio.stdin = Source::bytes(content),
                    Err(error) => return self.complain(&stdio, &format!("{target}: {error}"), 1).await,
                }
                continue;
            }
            let (sink, written) = if path == "/dev/null" {
                (Sink::Nothing, None)
            } else {
                let (sink, written) = Sink::buffer();
                (sink, Some(written))
            };
            files.extend(written.map(|written| (path, operator.ends_with(">>"), written)));
            *(if operator.starts_with('2') { &mut stdio.stderr } else { &mut stdio.stdout }) = sink;
        }
        while let Some((name, value)) = words.first().and_then(|word| assignment(word)) {
            self.variables.insert(name, value);
            words.remove(0);
        }
        let code = match self.command(&words, &stdio).await {
            Ok(code) => code,
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                return self.complain(&stdio, &FileError::Full.to_string(), 1).await;
            }
            Err(error) => return Err(error),
        };
        for (path, append, written) in files {
            let written = std::mem::take(&mut *written.lock());
            let before = if append { self.container.files.read(&path).unwrap_or_default() } else { Bytes::new() };
            let content = [&before[..], &written].concat();
            if let Err(error) = self.container.files.write(&path, content.into(), 0o644, false) {
                return self.complain(&stdio, &format!("{path}: {error}"), 1).await;
            }
        }
        Ok(code)
    }

    async fn complain(&self, stdio: &Stdio, what: &str, code: u8) -> io::Result<u8> {
        stdio.stderr.write(format!("sh: {what}\n")).await?;
        Ok(code)
    }

    /// Runs a command of words.
    pub(super) fn command<'a>(&'a mut self, words: &'a [String], stdio: &'a Stdio) -> BoxFuture<'a, io::Result<u8>> {
        commands::run(self, words, stdio).boxed()
    }

    /// `sh -c SCRIPT`, or a script on stdin.
    pub(super) async fn shell(&mut self, arguments: &[String], stdio: &Stdio) -> io::Result<u8> {
        if self.depth >= DEPTH {
            return self.complain(stdio, "too many shells", 2).await;
        }
        let mut inner = Shell {
            container: self.container.clone(),
            ambient: self.ambient.clone(),
            variables: self.variables.clone(),
            directory: self.directory.clone(),
            code: 0,
            tty: self.tty,
            depth: self.depth + 1,
            exit: None,
        };
        match arguments {
            [] => {
                let mut pending = Vec::new();
                while let Some(piece) = stdio.stdin.next().await {
                    pending.extend_from_slice(&piece);
                    if pending.len() > ARGUMENTS && !pending.contains(&b'\n') {
                        return self.complain(stdio, "a line that is too long", 2).await;
                    }
                    while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
                        let line: Vec<u8> = pending.drain(..=end).collect();
                        inner.script(&String::from_utf8_lossy(&line), stdio).await?;
                        if let Some(code) = inner.exit {
                            return Ok(code);
                        }
                    }
                }
                inner.script(&String::from_utf8_lossy(&pending), stdio).await
            }
            [flag, script, ..] if flag.starts_with('-') && flag.ends_with('c') => inner.script(script, stdio).await,
            [other, ..] => self.complain(stdio, &format!("{other}: only -c SCRIPT is simulated"), 2).await,
        }
    }

    /// The words that a word stands for.
    fn expand(&self, parts: &[Part]) -> Vec<String> {
        let mut words: Vec<String> = Vec::new();
        let mut open = false;
        for part in parts {
            match part {
                Part::Text(text) => append(&mut words, &mut open, text),
                Part::Variable(name, quoted) => {
                    let value = match name.as_str() {
                        "?" => self.code.to_string(),
                        name => self.variables.get(name).cloned().unwrap_or_default(),
                    };
                    if *quoted {
                        append(&mut words, &mut open, &value);
                        continue;
                    }
                    for (at, piece) in value.split_whitespace().enumerate() {
                        open &= at == 0;
                        append(&mut words, &mut open, piece);
                    }
                }
            }
        }
        words
    }
}

fn append(words: &mut Vec<String>, open: &mut bool, text: &str) {
    match words.last_mut().filter(|_| *open) {
        // What is longer is refused as a whole.
        Some(word) if word.len() > ARGUMENTS => {}
        Some(word) => word.push_str(text),
        None => words.push(text.to_owned()),
    }
    *open = true;
}

fn assignment(word: &str) -> Option<(String, String)> {
    let (name, value) = word.split_once('=')?;
    let named = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    named.then(|| (name.to_owned(), value.to_owned()))
}

/// What stands between some operators, each with the one behind it.
fn split<'a>(tokens: &'a [Token], operators: &[&str]) -> Vec<(&'a [Token], &'static str)> {
    let mut parts = Vec::new();
    let mut from = 0;
    for (at, token) in tokens.iter().enumerate() {
        if let Token::Operator(operator) = token
            && operators.contains(operator)
        {
            parts.push((&tokens[from..at], *operator));
            from = at + 1;
        }
    }
    parts.push((&tokens[from..], ";"));
    parts
}
