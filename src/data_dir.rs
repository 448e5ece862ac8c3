//! The data directory: who may read it, and which format it has.

use std::fs::{DirBuilder, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::Failure;

/// What this program writes. A directory of a higher number is refused and left as it is.
const FORMAT: u32 = 1;
const FORMAT_FILE: &str = "format";

/// A directory that this process may use.
#[derive(Clone, Debug)]
pub(crate) struct DataDir(PathBuf);

impl DataDir {
    /// Makes the directory where there is none, for its owner alone, and checks its format.
    pub(crate) fn prepare(path: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        let failed = |error: std::io::Error| -> Failure {
            format!("the data directory {shown} cannot be used: {error}; choose another with --data-dir").into()
        };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        let directory = Self(path.canonicalize().map_err(failed)?);
        match std::fs::read_to_string(directory.file(FORMAT_FILE)) {
            Ok(text) => directory.check(&text)?,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let temporary = directory.file("format.new");
                std::fs::write(&temporary, format!("{FORMAT}\n")).map_err(failed)?;
                std::fs::set_permissions(&temporary, Permissions::from_mode(0o600)).map_err(failed)?;
                std::fs::rename(&temporary, directory.file(FORMAT_FILE)).map_err(failed)?;
            }
            Err(error) => return Err(failed(error)),
        }
        let mode = std::fs::metadata(&directory.0).map_err(failed)?.permissions().mode() & 0o777;
        if mode != 0o700 {
            tracing::info!("{shown} was open to others ({mode:o}): it is 0700 now");
            std::fs::set_permissions(&directory.0, Permissions::from_mode(0o700)).map_err(failed)?;
        }
        Ok(directory)
    }

    fn check(&self, text: &str) -> Result<(), Failure> {
        let shown = self.0.display();
        match text.trim().parse::<u32>() {
            Ok(format) if format <= FORMAT => Ok(()),
            Ok(format) => Err(format!(
                "the data directory {shown} has format {format}, this program knows up to {FORMAT}: run the version that \
                 wrote it, or choose another --data-dir"
            )
            .into()),
            Err(_) => Err(format!("{shown}/{FORMAT_FILE} holds no number: is {shown} a data directory of Shardplane?").into()),
        }
    }

    /// The directory.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// A file in it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_format_is_refused_and_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("data");
        DataDir::prepare(&path).unwrap();
        DataDir::prepare(&path).expect("what it made itself it takes again");
        std::fs::write(path.join(FORMAT_FILE), "2\n").unwrap();
        let refused = DataDir::prepare(&path).unwrap_err().to_string();
        assert!(refused.contains("format 2"), "{refused}");
        assert_eq!(std::fs::read_to_string(path.join(FORMAT_FILE)).unwrap(), "2\n");
    }

    #[test]
    fn others_are_shut_out() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("data");
        std::fs::create_dir(&path).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        let directory = DataDir::prepare(&path).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&directory.file(FORMAT_FILE))), (0o700, 0o600));
    }
}
