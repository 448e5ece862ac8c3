//! FoundationDB's cluster file: read before the library does, which would only say that it does not connect.

use std::path::Path;

/// What is wrong with a cluster file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClusterFileError {
    /// It is not there, or not for us.
    #[error(
        "the cluster file {path} cannot be read ({error}): copy it from a machine of the FoundationDB cluster, where it is \
         usually /etc/foundationdb/fdb.cluster"
    )]
    Unreadable {
        /// The file.
        path: String,
        /// What the system said.
        error: String,
    },
    /// Its one line is not a connection string.
    #[error("the cluster file {path} does not hold `description:id@ip:port,…`: {found}")]
    Malformed {
        /// The file.
        path: String,
        /// What it holds instead.
        found: String,
    },
}

/// The addresses of the coordinators in a cluster file, for messages.
pub(crate) fn coordinators(path: &Path) -> Result<String, ClusterFileError> {
    let shown = || path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|error| ClusterFileError::Unreadable { path: shown(), error: error.to_string() })?;
    parse(&text).map(str::to_owned).map_err(|found| ClusterFileError::Malformed { path: shown(), found })
}

fn parse(text: &str) -> Result<&str, String> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let line = lines.next().ok_or("it is empty")?;
    if let Some(second) = lines.next() {
        return Err(format!("there is a second line, `{second}`"));
    }
    let (name, addresses) = line.split_once('@').ok_or_else(|| format!("`{line}` has no @"))?;
    let (description, id) = name.split_once(':').ok_or_else(|| format!("`{name}` has no colon"))?;
    let word = |part: &str| part.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    if description.is_empty() || id.is_empty() || !word(description) || !word(id) {
        return Err(format!("`{name}` is not description:id in letters, digits and underscores"));
    }
    for address in addresses.split(',') {
        let plain = address.strip_suffix(":tls").unwrap_or(address);
        let port = plain.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port.parse::<u16>());
        if !matches!(port, Some(Ok(1..))) {
            return Err(format!("`{address}` is not ip:port"));
        }
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_tools_write_is_understood() {
        assert_eq!(parse("fdb_cluster:a1B2@10.0.0.1:4500\n"), Ok("10.0.0.1:4500"));
        assert_eq!(parse("# by hand\n\nx:y@10.0.0.1:4500:tls,[::1]:4501\n"), Ok("10.0.0.1:4500:tls,[::1]:4501"));
        assert_eq!(parse("x:y@coordinator.example:4500"), Ok("coordinator.example:4500"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, part) in [
            ("", "empty"),
            ("# only this", "empty"),
            ("10.0.0.1:4500", "no @"),
            ("x@10.0.0.1:4500", "no colon"),
            ("x y:z@10.0.0.1:4500", "letters"),
            ("x:@10.0.0.1:4500", "letters"),
            ("x:y@", "ip:port"),
            ("x:y@10.0.0.1", "ip:port"),
            ("x:y@10.0.0.1:0", "ip:port"),
            ("x:y@10.0.0.1:4500,", "ip:port"),
            ("x:y@1.1.1.1:1\nx:y@1.1.1.1:2", "second line"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(part), "{text:?}: {error}");
        }
        let missing = coordinators(Path::new("/nonexistent/fdb.cluster")).unwrap_err();
        assert!(missing.to_string().contains("/nonexistent/fdb.cluster"), "{missing}");
    }
}
