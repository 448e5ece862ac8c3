//! Files that only their owner may read, written whole or not at all.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::PkiError;

const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// Where the certificate of that name stands.
pub fn certificate(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}.crt"))
}

/// Where its key stands.
pub fn key(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}.key"))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PkiError {
    let path = path.display().to_string();
    move |error| PkiError::File { action, path, error }
}

/// Makes the directory, or closes one that others can read.
pub fn protect_directory(directory: &Path) -> Result<(), PkiError> {
    let made = DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(directory);
    made.map_err(failed("make the directory", directory))?;
    protect(directory, DIRECTORY_MODE)
}

/// Waits until no other process is making credentials in the directory, and keeps others waiting while the file is open.
pub(super) fn lock(directory: &Path) -> Result<File, PkiError> {
    let path = directory.join(".lock");
    let open = || {
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(FILE_MODE).open(&path)?;
        file.lock()?;
        Ok(file)
    };
    open().map_err(failed("lock", &path))
}

/// Takes rights away that nobody but the owner should have.
fn protect(path: &Path, mode: u32) -> Result<(), PkiError> {
    let found = fs::metadata(path).map_err(failed("read", path))?.permissions().mode() & 0o777;
    if found & !mode != 0 {
        tracing::warn!(path = %path.display(), "others could read it (mode {found:o}): now it has mode {mode:o}");
        fs::set_permissions(path, Permissions::from_mode(mode)).map_err(failed("protect", path))?;
    }
    Ok(())
}

/// The text of a file that must be there.
pub fn read(path: &Path) -> Result<String, PkiError> {
    fs::read_to_string(path).map_err(failed("read", path))
}

/// The text of a file that may not be there yet. Closes it if others can read it.
pub(super) fn read_private(path: &Path) -> Result<Option<String>, PkiError> {
    match fs::read_to_string(path) {
        Ok(text) => protect(path, FILE_MODE).map(|()| Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path)(error)),
    }
}

/// Writes a file of mode 0600: whole, durably, or not at all.
pub fn write_private(path: &Path, text: &str) -> Result<(), PkiError> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("file");
    let beside = directory.join(format!(".{name}.{}", std::process::id()));
    let write = || {
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        File::open(directory)?.sync_all()
    };
    write().map_err(failed("write", path))
}
