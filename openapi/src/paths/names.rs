//! Names of operations, their tags, and the words for what they do.

/// How the operations of one group and version are named.
pub(crate) struct Names {
    /// `AppsV1`
    pub(crate) title: String,
    /// `apps_v1`
    pub(crate) tag: String,
}

impl Names {
    /// Of a group, or of one of its versions.
    pub(crate) fn of(group: &str, version: Option<&str>) -> Self {
        let group = if group.is_empty() { "core" } else { group.strip_suffix(".k8s.io").unwrap_or(group) };
        let (mut title, mut tag) = (joined(group, true), joined(group, false));
        if let Some(version) = version {
            title.push_str(&joined(version, true));
            tag.push('_');
            tag.push_str(version);
        }
        Self { title, tag }
    }
}

/// Words without the signs between them, each with a capital.
fn joined(words: &str, mut capital: bool) -> String {
    let mut joined = String::new();
    for sign in words.chars() {
        match sign {
            sign if !sign.is_alphanumeric() && sign != '_' => capital = true,
            sign if std::mem::replace(&mut capital, false) => joined.extend(sign.to_uppercase()),
            sign => joined.push(sign),
        }
    }
    joined
}

/// `Status` for `status`.
pub(crate) fn capital(word: &str) -> String {
    joined(word, true)
}

/// The article of a kind, with the spaces around it; plurals have none.
pub(crate) fn article(kind: &str) -> &'static str {
    match kind.chars().next().map(|first| first.to_ascii_lowercase()) {
        _ if kind.ends_with('s') && !kind.ends_with("ss") => " ",
        Some('a' | 'e' | 'i' | 'o' | 'u') => " an ",
        _ => " a ",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_of_groups_and_versions() {
        let names = |group: &str, version: &str| {
            let names = Names::of(group, Some(version));
            (names.title, names.tag)
        };
        assert_eq!(names("", "v1"), ("CoreV1".to_owned(), "core_v1".to_owned()));
        assert_eq!(
            names("rbac.authorization.k8s.io", "v1"),
            ("RbacAuthorizationV1".to_owned(), "rbacAuthorization_v1".to_owned())
        );
        assert_eq!(
            names("cert-manager.io", "v1beta1"),
            ("CertManagerIoV1beta1".to_owned(), "certManagerIo_v1beta1".to_owned())
        );
        assert_eq!((article("Ingress"), article("Endpoints"), article("Pod")), (" an ", " ", " a "));
    }
}
