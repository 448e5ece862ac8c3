//! Who asks: client certificates, then bearer tokens.

use std::path::Path;
use std::sync::Arc;

use api::Status;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hashbrown::HashMap;
use http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{HeaderMap, HeaderValue};
use ring::digest::{SHA256, digest};
use rustls::pki_types::CertificateDer;
use shards::service::UserInfo;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Group of everybody who was recognised.
const AUTHENTICATED: &str = "system:authenticated";

/// Bearer tokens and who shows them. Only digests are kept, so that a look-up takes no longer for a nearly right token,
/// and a dump shows none.
#[derive(Clone, Default)]
pub struct Tokens(Arc<HashMap<Digest, Arc<UserInfo>>>);

/// SHA-256
pub(crate) type Digest = [u8; 32];

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokens({})", self.0.len())
    }
}

/// A token file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    /// It cannot be read.
    #[error("cannot read the token file {path}: {error}")]
    Unreadable {
        /// Which file.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// A line is not `token,user,uid[,"group1,group2"]`.
    #[error("line {line} of the token file is not token,user,uid[,\"group1,group2\"]")]
    Malformed {
        /// Counted from 1.
        line: usize,
    },
}

impl Tokens {
    /// Reads a file in the form of `--token-auth-file`.
    pub fn load(path: &Path) -> Result<Self, TokenFileError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| TokenFileError::Unreadable { path: path.display().to_string(), error })?;
        Self::parse(&text)
    }

    /// Reads lines of `token,user,uid[,"group1,group2"]`. Empty lines and those that begin with `#` are skipped.
    pub fn parse(text: &str) -> Result<Self, TokenFileError> {
        let mut users = HashMap::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let malformed = TokenFileError::Malformed { line: at + 1 };
            let Some(fields) = split_csv(line).filter(|fields| fields.len() >= 3) else { return Err(malformed) };
            if fields[0].is_empty() || fields[1].is_empty() {
                return Err(malformed);
            }
            let groups = fields.get(3).map(String::as_str).unwrap_or_default().split(',').map(str::trim);
            let groups = groups.filter(|group| !group.is_empty()).map(str::to_owned);
            let user = UserInfo {
                name: fields[1].clone(),
                uid: fields[2].clone(),
                groups: groups.chain([AUTHENTICATED.to_owned()]).collect(),
                extra: Vec::new(),
            };
            users.insert(digest_of(&fields[0]), Arc::new(user));
        }
        Ok(Self(Arc::new(users)))
    }

    /// One token, known by its digest, of an administrator.
    pub(crate) fn administrator(token: Digest) -> Self {
        let groups = ["system:masters", AUTHENTICATED].map(str::to_owned).to_vec();
        let user = UserInfo { name: "kubernetes-admin".to_owned(), groups, ..UserInfo::default() };
        Self(Arc::new([(token, Arc::new(user))].into_iter().collect()))
    }

    fn user(&self, token: &str) -> Option<Arc<UserInfo>> {
        self.0.get(&digest_of(token)).cloned()
    }
}

pub(crate) fn digest_of(token: &str) -> Digest {
    digest(&SHA256, token.as_bytes()).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// Fields of one line of CSV; `None` for an open quote.
fn split_csv(line: &str) -> Option<Vec<String>> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let field = fields.last_mut().expect("starts with one");
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => field.extend(chars.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => field.push(c),
        }
    }
    (!quoted).then(|| fields.into_iter().map(|field| field.trim().to_owned()).collect())
}

/// Who sent a request that came without a certificate: the bearer of a token, or (`None`) nobody.
/// A token that is not known is a 401 even where nobody would do.
pub(crate) fn bearer(tokens: &Tokens, headers: &HeaderMap) -> Result<Option<Arc<UserInfo>>, Status> {
    let token = match headers.get(AUTHORIZATION) {
        Some(header) => {
            let parts = header.to_str().ok().and_then(|text| text.split_once(' '));
            let token = parts.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
            token.map(|(_, token)| token.trim().to_owned())
        }
        None => match websocket_token(headers) {
            Some(token) => token,
            None => return Ok(None),
        },
    };
    match token.and_then(|token| tokens.user(&token)) {
        Some(user) => Ok(Some(user)),
        None => Err(Status::unauthorized()),
    }
}

/// What a browser puts before a token that it sends as a protocol of a WebSocket, where it may set no other header.
const TOKEN_PROTOCOL: &str = "base64url.bearer.authorization.k8s.io.";

/// The token among the protocols of a WebSocket; `Some(None)` for one that cannot be read, or that comes alone: the server must
/// have another protocol to choose.
fn websocket_token(headers: &HeaderMap) -> Option<Option<String>> {
    let websocket = headers.get(UPGRADE)?.as_bytes().eq_ignore_ascii_case(b"websocket");
    let (tokens, others): (Vec<&str>, Vec<&str>) =
        protocols(headers).partition(|name| name.starts_with(TOKEN_PROTOCOL));
    let encoded = tokens.first().filter(|_| websocket)?.strip_prefix(TOKEN_PROTOCOL)?;
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(encoded).ok().filter(|_| tokens.len() == 1 && !others.is_empty());
    Some(bytes.and_then(|bytes| String::from_utf8(bytes).ok()))
}

fn protocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lists = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).map(str::trim).filter(|name| !name.is_empty())
}

/// Takes credentials out of what goes on to another server.
pub(crate) fn without_credentials(headers: &mut HeaderMap) {
    headers.remove(AUTHORIZATION);
    if protocols(headers).any(|name| name.starts_with(TOKEN_PROTOCOL)) {
        let others: Vec<&str> = protocols(headers).filter(|name| !name.starts_with(TOKEN_PROTOCOL)).collect();
        let others = HeaderValue::from_str(&others.join(", "));
        headers.remove(SEC_WEBSOCKET_PROTOCOL);
        if let Ok(others) = others {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, others);
        }
    }
}

/// The user of a client certificate that was already verified: CN is the name, each O a group.
pub(crate) fn certificate_user(certificate: &CertificateDer<'_>) -> Option<Arc<UserInfo>> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let subject = parsed.subject();
    let name = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
    let groups = subject.iter_organization().filter_map(|group| group.as_str().ok()).map(str::to_owned);
    let groups = groups.chain([AUTHENTICATED.to_owned()]).collect();
    (!name.is_empty()).then(|| Arc::new(UserInfo { name, uid: String::new(), groups, extra: Vec::new() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_files_are_csv() {
        let tokens = Tokens::parse("# comment\n\nsecret,alice,1,\"dev,ops\"\nother, bob ,2\n").unwrap();
        let alice = tokens.user("secret").unwrap();
        assert_eq!((alice.name.as_str(), alice.uid.as_str()), ("alice", "1"));
        assert_eq!(alice.groups, ["dev", "ops", "system:authenticated"]);
        assert_eq!(tokens.user("other").unwrap().name, "bob");
        assert!(tokens.user("secre").is_none());
        assert!(!format!("{tokens:?}").contains("secret"));
        for bad in ["a,b", ",b,c", "a,b,c,\"d", "a,,c"] {
            assert!(matches!(Tokens::parse(bad), Err(TokenFileError::Malformed { line: 1 })), "{bad}");
        }
    }

    #[test]
    fn a_browser_sends_its_token_as_a_protocol() {
        let tokens = Tokens::parse("secret,alice,1").unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        let mut who = |protocols: &'static str| {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocols));
            let known = bearer(&tokens, &headers).map(|user| user.map(|user| user.name.clone()));
            without_credentials(&mut headers);
            (known.map_err(|status| status.code()), headers[SEC_WEBSOCKET_PROTOCOL].to_str().unwrap().to_owned())
        };
        let alice = Ok(Some("alice".to_owned()));
        let protocols = "v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.c2VjcmV0";
        assert_eq!(who(protocols), (alice, "v5.channel.k8s.io".to_owned()));
        assert_eq!(who("v5.channel.k8s.io").0, Ok(None));
        for wrong in [
            "base64url.bearer.authorization.k8s.io.c2VjcmV0",
            "x, base64url.bearer.authorization.k8s.io.d3Jvbmc",
            "x, base64url.bearer.authorization.k8s.io.???",
        ] {
            assert_eq!(who(wrong).0, Err(401), "{wrong}");
        }
    }

    #[test]
    fn unknown_tokens_are_401_and_none_is_nobody() {
        let tokens = Tokens::parse("secret,alice,1").unwrap();
        let mut headers = HeaderMap::new();
        assert_eq!(bearer(&tokens, &headers), Ok(None));
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer secret"));
        assert_eq!(bearer(&tokens, &headers).unwrap().unwrap().name, "alice");
        for wrong in ["Bearer wrong", "Basic secret", "secret"] {
            headers.insert(AUTHORIZATION, HeaderValue::from_str(wrong).unwrap());
            assert_eq!(bearer(&tokens, &headers).unwrap_err().code(), 401);
        }
    }
}
