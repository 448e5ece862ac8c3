//! URLs, read as Go's `net/url` reads them.

use std::any::Any;
use std::sync::Arc;

use super::operators::list_of;
use super::{Evaluated, text};
use crate::environment::{Library, Overload, Run};
use crate::evaluate::{Failure, Meter};
use crate::types::Type;
use crate::value::{Map, Opaque, Value};

const NAME: &str = "kubernetes.URL";

/// A URL in parts, each as it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Url {
    scheme: String,
    user: String,
    host: String,
    path: String,
    query: String,
    fragment: String,
}

impl Opaque for Url {
    fn of(&self) -> Type {
        Type::object(NAME)
    }

    fn equals(&self, other: &dyn Opaque) -> bool {
        other.as_any().downcast_ref::<Url>() == Some(self)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

pub(super) fn library() -> Library {
    let of = || Type::object(NAME);
    let member = |function, id, result: Type, run: Run| Overload::member(function, id, &[of()], result, run);
    let query = Type::map(Type::String, Type::list(Type::String));
    let overloads = vec![
        Overload::global("url", "string_to_url", &[Type::String], of(), make),
        Overload::global("isURL", "is_url_string", &[Type::String], Type::Bool, is),
        member("getScheme", "url_get_scheme", Type::String, scheme),
        member("getHost", "url_get_host", Type::String, host),
        member("getHostname", "url_get_hostname", Type::String, hostname),
        member("getPort", "url_get_port", Type::String, port),
        member("getEscapedPath", "url_get_escaped_path", Type::String, escaped_path),
        member("getQuery", "url_get_query", query, get_query),
    ];
    Library { overloads, types: vec![of()] }
}

impl Url {
    /// An absolute URL, or an absolute path.
    fn parse(raw: &str) -> Result<Self, String> {
        let wrong = |why: String| format!("parse {raw:?}: {why}");
        if raw.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
            return Err(wrong("net/url: invalid control character in URL".to_owned()));
        }
        if raw.is_empty() {
            return Err(wrong("empty url".to_owned()));
        }
        let (rest, fragment) = raw.split_once('#').unwrap_or((raw, ""));
        let (scheme, rest) = split_scheme(rest).map_err(wrong)?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut url = Url {
            scheme: scheme.to_ascii_lowercase(),
            query: query.to_owned(),
            fragment: fragment.to_owned(),
            ..Url::default()
        };
        if !rest.starts_with('/') {
            return if scheme.is_empty() { Err(wrong("invalid URI for request".to_owned())) } else { Ok(url) };
        }
        let mut path = rest;
        if let Some(behind) = rest.strip_prefix("//")
            && !scheme.is_empty()
        {
            let (authority, after) = behind.split_at(behind.find('/').unwrap_or(behind.len()));
            let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
            check_host(host).map_err(wrong)?;
            url.user = user.to_owned();
            url.host = host.to_owned();
            path = after;
        }
        check_escapes(path).map_err(wrong)?;
        url.path = path.to_owned();
        Ok(url)
    }

    /// The host without brackets and port, and the port.
    fn host_and_port(&self) -> (&str, &str) {
        let (host, port) = match self.host.rfind(':') {
            Some(colon) if !self.host[colon..].contains(']') => (&self.host[..colon], &self.host[colon + 1..]),
            _ => (self.host.as_str(), ""),
        };
        (host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host), port)
    }
}

fn split_scheme(raw: &str) -> Result<(&str, &str), String> {
    let end = raw.find(|next: char| !(next.is_ascii_alphanumeric() || "+-.".contains(next))).unwrap_or(raw.len());
    if !raw[end..].starts_with(':') {
        return Ok(("", raw));
    }
    match &raw[..end] {
        "" => Err("missing protocol scheme".to_owned()),
        scheme if scheme.starts_with(|first: char| first.is_ascii_alphabetic()) => Ok((scheme, &raw[end + 1..])),
        _ => Ok(("", raw)),
    }
}

fn check_host(host: &str) -> Result<(), String> {
    let (name, port) = match host.strip_prefix('[') {
        Some(inside) => match inside.split_once(']') {
            Some((_, after)) => ("", after),
            None => return Err("missing ']' in host".to_owned()),
        },
        None => host.split_at(host.rfind(':').unwrap_or(host.len())),
    };
    let digits = port.strip_prefix(':').unwrap_or("");
    if !port.is_empty() && (!port.starts_with(':') || !digits.bytes().all(|byte| byte.is_ascii_digit())) {
        return Err(format!("invalid port {port:?} after host"));
    }
    if let Some(bad) = name.chars().find(|next| " \"<>\\^`{|}".contains(*next)) {
        return Err(format!("invalid character {:?} in host name", bad.to_string()));
    }
    check_escapes(name)
}

fn check_escapes(part: &str) -> Result<(), String> {
    let bytes = part.as_bytes();
    let bad = bytes.iter().enumerate().find(|(at, byte)| {
        **byte == b'%' && !bytes.get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    });
    match bad {
        Some((at, _)) => {
            let shown = String::from_utf8_lossy(&bytes[at..(at + 3).min(bytes.len())]).into_owned();
            Err(format!("invalid URL escape {shown:?}"))
        }
        None => Ok(()),
    }
}

fn make<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    match Url::parse(text(args, 0)?) {
        Ok(url) => Ok(Value::Opaque(Arc::new(url))),
        Err(why) => Err(Failure::error(format!("URL parse error during conversion from string: {why}"))),
    }
}

fn is<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    Ok(Value::Bool(Url::parse(text(args, 0)?).is_ok()))
}

fn of<'a>(args: &'a [Value<'_>]) -> Result<&'a Url, Failure> {
    match args.first() {
        Some(Value::Opaque(value)) => value.as_any().downcast_ref().ok_or_else(Failure::no_such_overload),
        _ => Err(Failure::no_such_overload()),
    }
}

fn scheme<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    Ok(Value::text(of(args)?.scheme.as_str()))
}

fn host<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    Ok(Value::text(of(args)?.host.as_str()))
}

fn hostname<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    Ok(Value::text(of(args)?.host_and_port().0))
}

fn port<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    Ok(Value::text(of(args)?.host_and_port().1))
}

fn escaped_path<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    let path = &of(args)?.path;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@%!'()*[]".contains(&byte);
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        if plain(byte) {
            out.push(byte as char);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    Ok(Value::text(out))
}

fn get_query<'d>(args: &[Value<'d>], meter: &mut Meter<'_>) -> Evaluated<'d> {
    let query = &of(args)?.query;
    meter.work(query.len() as u64)?;
    let mut found: Vec<(String, Vec<Value<'d>>)> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty() && !pair.contains(';')) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (Some(key), Some(value)) = (unescape(key), unescape(value)) else { continue };
        let at = *places.entry(key.clone()).or_insert_with(|| {
            found.push((key, Vec::new()));
            found.len() - 1
        });
        found[at].1.push(Value::text(value));
    }
    let entries = found.into_iter().map(|(key, values)| (Value::text(key), list_of(values)));
    Ok(Value::Map(Map::of(entries)))
}

fn unescape(part: &str) -> Option<String> {
    check_escapes(part).ok()?;
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            other => other,
        });
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
