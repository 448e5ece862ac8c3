//! The part of CEL's grammar that a shard selector may be written in, and enough of the rest to say what is wrong.

/// `||` by the name that CEL gives it.
pub(super) const OR: &str = "_||_";

/// Parentheses, calls and prefixes that may stand within each other, as in the reference.
const DEPTH: usize = 250;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expression<'a> {
    /// `object.metadata.uid`
    Path(String),
    /// A string.
    Text(&'a str),
    /// Another literal, by its type.
    Literal(&'static str),
    /// A function or an operator. What an operator other than [`OR`] stands between is left out: none is allowed.
    Call { function: &'a str, arguments: Vec<Expression<'a>> },
}

impl Expression<'_> {
    /// For errors.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Path(path) if path.contains('.') => "select",
            Self::Path(_) => "ident",
            Self::Text(_) | Self::Literal(_) => "literal",
            Self::Call { .. } => "call",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Number(&'a str),
    Text(&'a str),
    Sign(&'static str),
    End,
}

/// A sign stands behind those that begin with it.
const SIGNS: [&str; 22] = [
    "||", "&&", "==", "!=", "<=", ">=", "<", ">", "+", "-", "*", "/", "%", "!", "(", ")", ",", ".", "?", ":", "[", "]",
];

/// Operators that stand between two operands, by the names that CEL gives them; those that bind loosest first.
const BETWEEN: [(&str, &str); 13] = [
    ("&&", "_&&_"),
    ("==", "_==_"),
    ("!=", "_!=_"),
    ("<=", "_<=_"),
    (">=", "_>=_"),
    ("<", "_<_"),
    (">", "_>_"),
    ("in", "@in"),
    ("+", "_+_"),
    ("-", "_-_"),
    ("*", "_*_"),
    ("/", "_/_"),
    ("%", "_%_"),
];

/// Reads an expression. The error says what stands where nothing like it can.
pub(super) fn parse(text: &str) -> Result<Expression<'_>, String> {
    let mut parser = Parser { tokens: scan(text)?, at: 0, depth: 0 };
    let expression = parser.either()?;
    match parser.take() {
        Token::End => Ok(expression),
        other => Err(unexpected(other)),
    }
}

fn scan(text: &str) -> Result<Vec<Token<'_>>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let run = |more: fn(char) -> bool| rest.find(|c| !more(c)).unwrap_or(rest.len());
        let (token, length) = if first == '\'' || first == '"' {
            let text = string(rest, first)?;
            (Token::Text(text), text.len() + 2)
        } else if first.is_ascii_alphabetic() || first == '_' {
            let length = run(|c| c.is_ascii_alphanumeric() || c == '_');
            (Token::Word(&rest[..length]), length)
        } else if first.is_ascii_digit() {
            let length = run(|c| c.is_ascii_alphanumeric() || c == '.');
            (Token::Number(&rest[..length]), length)
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            (Token::Sign(sign), sign.len())
        } else {
            return Err(format!("Syntax error: token recognition error at: '{first}'"));
        };
        tokens.push(token);
        rest = rest[length..].trim_start();
    }
    tokens.push(Token::End);
    Ok(tokens)
}

/// What stands between the quotes at the start of `rest`. No bound needs an escape.
fn string(rest: &str, quote: char) -> Result<&str, String> {
    let inner = &rest[1..];
    match inner.find([quote, '\\', '\n']) {
        Some(end) if inner[end..].starts_with(quote) => Ok(&inner[..end]),
        _ => Err(format!("Syntax error: token recognition error at: '{rest}'")),
    }
}

fn unexpected(token: Token<'_>) -> String {
    let text = match token {
        Token::Word(text) | Token::Number(text) | Token::Sign(text) => text.to_owned(),
        Token::Text(text) => format!("'{text}'"),
        Token::End => "<EOF>".to_owned(),
    };
    format!("Syntax error: unexpected input '{text}'")
}

/// The place of an operator in [`BETWEEN`].
fn between(token: Token<'_>) -> Option<usize> {
    let (Token::Sign(sign) | Token::Word(sign)) = token else { return None };
    BETWEEN.iter().position(|(spelled, _)| *spelled == sign)
}

/// Recursive descent, one token ahead.
struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    at: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Token<'a> {
        self.tokens.get(self.at).copied().unwrap_or(Token::End)
    }

    fn take(&mut self) -> Token<'a> {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn take_if(&mut self, sign: &'static str) -> bool {
        let found = self.peek() == Token::Sign(sign);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &'static str) -> Result<(), String> {
        if self.take_if(sign) { Ok(()) } else { Err(unexpected(self.peek())) }
    }

    /// Operands of `||`.
    fn either(&mut self) -> Result<Expression<'a>, String> {
        let first = self.chain()?;
        if self.peek() != Token::Sign("||") {
            return Ok(first);
        }
        let mut arguments = vec![first];
        while self.take_if("||") {
            arguments.push(self.chain()?);
        }
        Ok(Expression::Call { function: OR, arguments })
    }

    /// Operands of the other operators. The expression is that of the loosest of them.
    fn chain(&mut self) -> Result<Expression<'a>, String> {
        let first = self.operand()?;
        let mut loosest = None;
        while let Some(at) = between(self.peek()) {
            self.at += 1;
            self.operand()?;
            loosest = Some(loosest.map_or(at, |have: usize| have.min(at)));
        }
        Ok(loosest.map_or(first, |at| Expression::Call { function: BETWEEN[at].1, arguments: Vec::new() }))
    }

    fn operand(&mut self) -> Result<Expression<'a>, String> {
        if self.depth == DEPTH {
            return Err(format!("expression recursion limit exceeded: {DEPTH}"));
        }
        self.depth += 1;
        let operand = self.operand_within()?;
        self.depth -= 1;
        Ok(operand)
    }

    fn operand_within(&mut self) -> Result<Expression<'a>, String> {
        match self.take() {
            Token::Sign("(") => {
                let inner = self.either()?;
                self.expect(")").map(|()| inner)
            }
            Token::Sign("!") => self.operand().map(|_| Expression::Call { function: "!_", arguments: Vec::new() }),
            Token::Sign("-") => match self.operand()? {
                number @ Expression::Literal(_) => Ok(number),
                _ => Ok(Expression::Call { function: "-_", arguments: Vec::new() }),
            },
            Token::Text(text) => Ok(Expression::Text(text)),
            Token::Number(text) if text.contains('.') => Ok(Expression::Literal("float64")),
            Token::Number(text) if text.ends_with(['u', 'U']) => Ok(Expression::Literal("uint64")),
            Token::Number(_) => Ok(Expression::Literal("int64")),
            Token::Word("true" | "false") => Ok(Expression::Literal("bool")),
            Token::Word("null") => Ok(Expression::Literal("null")),
            Token::Word(word) if word != "in" => self.named(word),
            other => Err(unexpected(other)),
        }
    }

    /// A call, or a path.
    fn named(&mut self, first: &'a str) -> Result<Expression<'a>, String> {
        if self.take_if("(") {
            return Ok(Expression::Call { function: first, arguments: self.arguments()? });
        }
        let mut path = first.to_owned();
        while self.take_if(".") {
            match self.take() {
                Token::Word(word) => path.extend([".", word]),
                other => return Err(unexpected(other)),
            }
        }
        Ok(Expression::Path(path))
    }

    fn arguments(&mut self) -> Result<Vec<Expression<'a>>, String> {
        let mut arguments = Vec::new();
        if self.take_if(")") {
            return Ok(arguments);
        }
        loop {
            arguments.push(self.either()?);
            if !self.take_if(",") {
                return self.expect(")").map(|()| arguments);
            }
        }
    }
}
