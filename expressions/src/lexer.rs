//! Text to tokens.

use smol_str::SmolStr;

use crate::ast::Literal;

/// What a token is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    /// A name; reserved words too.
    Name(SmolStr),
    /// A name in backticks, which may only follow a dot.
    Quoted(SmolStr),
    /// A literal.
    Literal(Literal),
    /// A number whose value does not fit: its text and what it should have been.
    Misfit(String),
    /// An operator, a bracket or `in`.
    Mark(&'static str),
    /// The end.
    End,
}

/// A token and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Spanned {
    pub token: Token,
    /// In characters.
    pub at: u32,
    pub text: SmolStr,
}

/// A text that is no token.
#[derive(Debug)]
pub(crate) struct Unread {
    pub at: u32,
    pub message: String,
}

const MARKS: [&str; 25] = [
    "&&", "||", "<=", ">=", "==", "!=", "<", ">", "!", "?", ":", ".", ",", "(", ")", "[", "]", "{", "}", "+", "-", "*",
    "/", "%", "=",
];

/// All tokens of a text, the end last.
pub(crate) fn tokens(source: &str) -> Result<Vec<Spanned>, Unread> {
    let mut lexer = Lexer { characters: source.chars().collect(), at: 0 };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_space();
        let start = lexer.at;
        let token = lexer.token()?;
        let end = token == Token::End;
        let text: String = lexer.characters[start..lexer.at].iter().collect();
        tokens.push(Spanned { token, at: start as u32, text: text.into() });
        if end {
            return Ok(tokens);
        }
    }
}

struct Lexer {
    characters: Vec<char>,
    at: usize,
}

impl Lexer {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.characters.get(self.at + ahead).copied()
    }

    fn starts_with(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(ahead, character)| self.peek(ahead) == Some(character))
    }

    fn error<T>(&self, at: usize, message: impl Into<String>) -> Result<T, Unread> {
        Err(Unread { at: at as u32, message: message.into() })
    }

    fn unrecognised<T>(&self, start: usize, end: usize) -> Result<T, Unread> {
        let text: String = self.characters[start..end.min(self.characters.len())].iter().collect();
        let text = text.replace('\n', "\\n").replace('\t', "\\t").replace('\r', "\\r");
        self.error(start, format!("Syntax error: token recognition error at: '{text}'"))
    }

    fn skip_space(&mut self) {
        loop {
            match self.peek(0) {
                Some(' ' | '\t' | '\r' | '\n' | '\u{c}') => self.at += 1,
                Some('/') if self.peek(1) == Some('/') => {
                    while self.peek(0).is_some_and(|character| character != '\n') {
                        self.at += 1;
                    }
                }
                _ => return,
            }
        }
    }

    fn token(&mut self) -> Result<Token, Unread> {
        let Some(first) = self.peek(0) else { return Ok(Token::End) };
        if let Some(prefix) = self.string_prefix() {
            return self.string(prefix);
        }
        if first.is_ascii_digit() || (first == '.' && self.peek(1).is_some_and(|next| next.is_ascii_digit())) {
            return self.number();
        }
        if first.is_ascii_alphabetic() || first == '_' {
            return Ok(self.name());
        }
        if first == '`' {
            return self.quoted();
        }
        match MARKS.iter().find(|mark| **mark != "=" && self.starts_with(mark)) {
            Some(mark) => {
                self.at += mark.len();
                Ok(Token::Mark(mark))
            }
            // `&`, `|` and `=` might have become two: the reference reads one more before it gives up.
            None => self.unrecognised(self.at, self.at + if "&|=".contains(first) { 2 } else { 1 }),
        }
    }

    fn name(&mut self) -> Token {
        let start = self.at;
        while self.peek(0).is_some_and(|next| next.is_ascii_alphanumeric() || next == '_') {
            self.at += 1;
        }
        let name: String = self.characters[start..self.at].iter().collect();
        match name.as_str() {
            "true" => Token::Literal(Literal::Bool(true)),
            "false" => Token::Literal(Literal::Bool(false)),
            "null" => Token::Literal(Literal::Null),
            "in" => Token::Mark("in"),
            _ => Token::Name(name.into()),
        }
    }

    fn quoted(&mut self) -> Result<Token, Unread> {
        let start = self.at;
        let legal = |next: char| next.is_ascii_alphanumeric() || "_.-/ ".contains(next);
        self.at += 1;
        while self.peek(0).is_some_and(legal) {
            self.at += 1;
        }
        if self.peek(0) != Some('`') || self.at == start + 1 {
            return self.unrecognised(start, self.at + 1);
        }
        self.at += 1;
        let name: String = self.characters[start + 1..self.at - 1].iter().collect();
        Ok(Token::Quoted(name.into()))
    }

    fn digits(&mut self, legal: impl Fn(char) -> bool) -> usize {
        let start = self.at;
        while self.peek(0).is_some_and(&legal) {
            self.at += 1;
        }
        self.at - start
    }

    fn number(&mut self) -> Result<Token, Unread> {
        let start = self.at;
        if self.peek(0) == Some('0') && self.peek(1) == Some('x') && self.peek(2).is_some_and(|c| c.is_ascii_hexdigit())
        {
            self.at += 2;
            self.digits(|next| next.is_ascii_hexdigit());
            let text: String = self.characters[start + 2..self.at].iter().collect();
            return Ok(self.whole(&text, 16));
        }
        self.digits(|next| next.is_ascii_digit());
        let mut double = false;
        if self.peek(0) == Some('.') && self.peek(1).is_some_and(|next| next.is_ascii_digit()) {
            double = true;
            self.at += 1;
            self.digits(|next| next.is_ascii_digit());
        }
        if matches!(self.peek(0), Some('e' | 'E')) {
            let sign = usize::from(matches!(self.peek(1), Some('+' | '-')));
            if self.peek(1 + sign).is_some_and(|next| next.is_ascii_digit()) {
                double = true;
                self.at += 1 + sign;
                self.digits(|next| next.is_ascii_digit());
            }
        }
        let text: String = self.characters[start..self.at].iter().collect();
        if !double {
            return Ok(self.whole(&text, 10));
        }
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Token::Literal(Literal::Double(value))),
            _ => Ok(Token::Misfit("invalid double literal".to_owned())),
        }
    }

    /// A whole number; a `u` may follow.
    fn whole(&mut self, digits: &str, radix: u32) -> Token {
        if matches!(self.peek(0), Some('u' | 'U')) {
            self.at += 1;
            return match u64::from_str_radix(digits, radix) {
                Ok(value) => Token::Literal(Literal::Uint(value)),
                Err(_) => Token::Misfit("invalid uint literal".to_owned()),
            };
        }
        match u64::from_str_radix(digits, radix) {
            Ok(value) if value <= i64::MAX as u64 => Token::Literal(Literal::Int(value as i64)),
            // Only behind a minus.
            Ok(0x8000_0000_0000_0000) => Token::Misfit("min".to_owned()),
            _ => Token::Misfit("invalid int literal".to_owned()),
        }
    }

    /// How many characters stand before a quote: none, `r`, `b` or both.
    fn string_prefix(&self) -> Option<usize> {
        let quote = |ahead: usize| matches!(self.peek(ahead), Some('"' | '\''));
        let (raw, bytes) = (|c| matches!(c, Some('r' | 'R')), |c| matches!(c, Some('b' | 'B')));
        match self.peek(0) {
            _ if quote(0) => Some(0),
            first if (raw(first) || bytes(first)) && quote(1) => Some(1),
            first if bytes(first) && raw(self.peek(1)) && quote(2) => Some(2),
            _ => None,
        }
    }

    fn string(&mut self, prefix: usize) -> Result<Token, Unread> {
        let start = self.at;
        let prefixes: String = self.characters[start..start + prefix].iter().collect();
        let (raw, bytes) = (prefixes.contains(['r', 'R']), prefixes.contains(['b', 'B']));
        self.at += prefix;
        let quote = self.peek(0).unwrap_or('"');
        let triple = self.peek(1) == Some(quote) && self.peek(2) == Some(quote);
        let width = if triple { 3 } else { 1 };
        self.at += width;
        let body = self.at;
        loop {
            match self.peek(0) {
                Some(next)
                    if next == quote && (!triple || (self.peek(1) == Some(quote) && self.peek(2) == Some(quote))) =>
                {
                    break;
                }
                Some('\\') if !raw && self.peek(1).is_some() => self.at += 2,
                None => return self.unrecognised(start, self.at),
                Some('\n' | '\r') if !triple => return self.unrecognised(start, self.at + 1),
                Some(_) => self.at += 1,
            }
        }
        let text = self.characters[body..self.at].to_vec();
        self.at += width;
        match unescape(&text, raw, bytes) {
            Some(value) if bytes => Ok(Token::Literal(Literal::Bytes(value.into()))),
            Some(value) => match String::from_utf8(value) {
                Ok(text) => Ok(Token::Literal(Literal::String(text.into()))),
                Err(_) => self.error(start, "invalid string literal"),
            },
            None => self.error(start, "Syntax error: token recognition error at: invalid escape sequence"),
        }
    }
}

/// The bytes that a literal stands for; `None` for an escape that there is not.
fn unescape(text: &[char], raw: bool, bytes: bool) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let character = text[at];
        at += 1;
        if character != '\\' || raw {
            push(&mut out, character);
            continue;
        }
        let code = *text.get(at)?;
        at += 1;
        let (digits, radix) = match code {
            'x' | 'X' => (2, 16),
            'u' if !bytes => (4, 16),
            'U' if !bytes => (8, 16),
            '0'..='3' => {
                at -= 1;
                (3, 8)
            }
            _ => {
                push(&mut out, simple(code)?);
                continue;
            }
        };
        let value: String = text.get(at..at + digits)?.iter().collect();
        at += digits;
        let value = u32::from_str_radix(&value, radix).ok().filter(|_| !value.starts_with('+'))?;
        if bytes {
            out.push(u8::try_from(value).ok()?);
        } else {
            push(&mut out, char::from_u32(value)?);
        }
    }
    Some(out)
}

fn push(out: &mut Vec<u8>, character: char) {
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
}

fn simple(code: char) -> Option<char> {
    Some(match code {
        'a' => '\u{7}',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        '\\' | '\'' | '"' | '`' | '?' => code,
        _ => return None,
    })
}
