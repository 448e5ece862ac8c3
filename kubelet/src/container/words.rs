//! The words of a script: quotes, variables, and what stands between commands.

/// A piece of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Word(Vec<Part>),
    /// `;`, `&&`, `||`, `|`, `<`, `>`, `>>`, `2>`, `2>>` or `2>&1`.
    Operator(&'static str),
}

/// A piece of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Text(String),
    /// A variable, and whether it stands in quotes: otherwise it may become several words, or none.
    Variable(String, bool),
}

/// Those that are longer come before what they begin with.
const OPERATORS: [&str; 10] = ["2>&1", "2>>", "2>", "&&", "||", ">>", ">", "<", "|", ";"];
/// What a shell can do and this one cannot.
const FOREIGN: [&str; 6] = ["`", "$(", "(", ")", "&", "<<"];

/// Cuts a script into tokens; the error says what it is about.
pub(super) fn tokens(script: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = script;
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\r']);
        let Some(first) = rest.chars().next() else { return Ok(tokens) };
        if first == '#' {
            rest = rest.find('\n').map_or("", |end| &rest[end..]);
            continue;
        }
        if first == '\n' {
            tokens.push(Token::Operator(";"));
            rest = &rest[1..];
            continue;
        }
        if let Some(operator) = OPERATORS.iter().find(|operator| rest.starts_with(**operator))
            && !rest.starts_with("<<")
        {
            tokens.push(Token::Operator(operator));
            rest = &rest[operator.len()..];
            continue;
        }
        let (word, behind) = word(rest)?;
        tokens.push(Token::Word(word));
        rest = behind;
    }
}

fn word(mut rest: &str) -> Result<(Vec<Part>, &str), String> {
    let mut parts: Vec<Part> = Vec::new();
    let text = |parts: &mut Vec<Part>, piece: &str| match parts.last_mut() {
        Some(Part::Text(text)) => text.push_str(piece),
        _ => parts.push(Part::Text(piece.to_owned())),
    };
    loop {
        if let Some(foreign) = FOREIGN.iter().find(|foreign| rest.starts_with(**foreign) && !rest.starts_with("&&")) {
            return Err(format!("{foreign:?} is not simulated"));
        }
        let Some(first) = rest.chars().next() else { return Ok((parts, rest)) };
        match first {
            ' ' | '\t' | '\r' | '\n' | ';' | '|' | '<' | '>' | '&' => return Ok((parts, rest)),
            '\'' => {
                let end = rest[1..].find('\'').ok_or("a quote is not closed")?;
                text(&mut parts, &rest[1..=end]);
                rest = &rest[end + 2..];
            }
            '"' => rest = quoted(&rest[1..], &mut parts)?,
            '\\' => {
                let escaped = rest[1..].chars().next().unwrap_or('\n');
                if escaped != '\n' {
                    text(&mut parts, escaped.encode_utf8(&mut [0; 4]));
                }
                rest = rest.get(1 + escaped.len_utf8()..).unwrap_or("");
            }
            '$' => rest = variable(rest, false, &mut parts)?,
            other => {
                text(&mut parts, other.encode_utf8(&mut [0; 4]));
                rest = &rest[other.len_utf8()..];
            }
        }
    }
}

/// What stands between double quotes.
fn quoted<'a>(mut rest: &'a str, parts: &mut Vec<Part>) -> Result<&'a str, String> {
    parts.push(Part::Text(String::new()));
    loop {
        let first = rest.chars().next().ok_or("a quote is not closed")?;
        match first {
            '"' => return Ok(&rest[1..]),
            '`' => return Err("\"`\" is not simulated".to_owned()),
            '$' => {
                rest = variable(rest, true, parts)?;
                parts.push(Part::Text(String::new()));
            }
            first => {
                let escaped = (first == '\\').then(|| rest[1..].chars().next()).flatten();
                let plain = escaped.filter(|escaped| matches!(escaped, '"' | '\\' | '$' | '`'));
                let shown = plain.unwrap_or(first);
                rest = &rest[first.len_utf8() + plain.map_or(0, char::len_utf8)..];
                if let Some(Part::Text(text)) = parts.last_mut() {
                    text.push(shown);
                }
            }
        }
    }
}

/// `$NAME`, `${NAME}` or `$?`; a dollar alone is itself.
fn variable<'a>(rest: &'a str, quoted: bool, parts: &mut Vec<Part>) -> Result<&'a str, String> {
    let behind = &rest[1..];
    if behind.starts_with('(') {
        return Err("\"$(\" is not simulated".to_owned());
    }
    let braced = behind.strip_prefix('{');
    let name = braced.unwrap_or(behind);
    let length = match name.chars().next() {
        Some('?') => 1,
        Some(first) if first.is_ascii_digit() => 0,
        _ => name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(name.len()),
    };
    let (name, behind) = name.split_at(length);
    match (name.is_empty(), braced) {
        (true, Some(_)) => Err("a variable's name is missing".to_owned()),
        (true, None) => {
            parts.push(Part::Text("$".to_owned()));
            Ok(&rest[1..])
        }
        (false, braced) => {
            parts.push(Part::Variable(name.to_owned(), quoted));
            match braced {
                Some(_) => behind.strip_prefix('}').ok_or_else(|| format!("${{{name} … is not simulated")),
                None => Ok(behind),
            }
        }
    }
}
