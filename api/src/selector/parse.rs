//! The grammar of label selectors, as the reference reads it: what it takes, and what it says of the rest.

use super::labels::{Operator, Requirement, aggregate};
use crate::names::is_qualified_name;
use crate::status::Causes;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Error,
    End,
    Close,
    Comma,
    Not,
    Identifier,
    Open,
    /// `in` and `notin` are words; where no operator can stand they are identifiers.
    Word(Operator),
    Sign(Operator),
}

const SIGNS: [(&str, Token); 9] = [
    (")", Token::Close),
    (",", Token::Comma),
    ("!", Token::Not),
    ("==", Token::Sign(Operator::DoubleEquals)),
    ("=", Token::Sign(Operator::Equals)),
    (">", Token::Sign(Operator::GreaterThan)),
    ("<", Token::Sign(Operator::LessThan)),
    ("!=", Token::Sign(Operator::NotEquals)),
    ("(", Token::Open),
];

/// Tokens and their text; the last is [`Token::End`].
fn scan(text: &str) -> Vec<(Token, String)> {
    let special = |c: char| "=!(),><".contains(c);
    let blank = |c: char| " \t\r\n".contains(c);
    // A NUL ends the text, as in the reference.
    let mut rest = text.split('\0').next().unwrap_or_default().trim_start_matches(blank);
    let mut tokens = Vec::new();
    while let Some(first) = rest.chars().next() {
        let run = if special(first) {
            rest.find(|c| !special(c)).unwrap_or(rest.len())
        } else {
            rest.find(|c| special(c) || blank(c)).unwrap_or(rest.len())
        };
        // Of a run of signs, the longest prefix that is one.
        let sign = (1..=run.min(2)).rev().find_map(|length| SIGNS.iter().find(|(sign, _)| *sign == &rest[..length]));
        let (token, literal) = match sign {
            Some((sign, token)) => (*token, (*sign).to_owned()),
            None if special(first) => (Token::Error, format!("error expected: keyword found '{}'", &rest[..run])),
            None => match &rest[..run] {
                "in" => (Token::Word(Operator::In), "in".to_owned()),
                "notin" => (Token::Word(Operator::NotIn), "notin".to_owned()),
                other => (Token::Identifier, other.to_owned()),
            },
        };
        let length = sign.map_or(run, |(sign, _)| sign.len());
        rest = rest[length..].trim_start_matches(blank);
        tokens.push((token, literal));
    }
    tokens.push((Token::End, String::new()));
    tokens
}

/// Reads a label selector, one token ahead.
pub(super) struct Parser {
    tokens: Vec<(Token, String)>,
    at: usize,
}

impl Parser {
    pub(super) fn new(text: &str) -> Self {
        Self { tokens: scan(text), at: 0 }
    }

    /// The next token where values can stand: words are identifiers.
    fn peek(&self) -> (Token, &str) {
        // `End` is last and nothing is consumed after it.
        let (token, literal) = &self.tokens[self.at.min(self.tokens.len() - 1)];
        (if matches!(token, Token::Word(_)) { Token::Identifier } else { *token }, literal)
    }

    fn next(&mut self) -> (Token, String) {
        let (token, literal) = self.peek();
        let next = (token, literal.to_owned());
        self.at += 1;
        next
    }

    /// All requirements, in the order of the text.
    pub(super) fn parse(mut self) -> Result<Vec<Requirement>, String> {
        let mut requirements = Vec::new();
        loop {
            match self.peek() {
                (Token::Identifier | Token::Not, _) => {}
                (Token::End, _) => return Ok(requirements),
                (_, literal) => return Err(format!("found '{literal}', expected: !, identifier, or 'end of string'")),
            }
            let requirement = self.requirement().map_err(|why| format!("unable to parse requirement: {why}"))?;
            requirements.push(requirement);
            match self.next() {
                (Token::End, _) => return Ok(requirements),
                (Token::Comma, _) => {
                    let (token, literal) = self.peek();
                    if !matches!(token, Token::Identifier | Token::Not) {
                        return Err(format!("found '{literal}', expected: identifier after ','"));
                    }
                }
                (_, literal) => return Err(format!("found '{literal}', expected: ',' or 'end of string'")),
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let (mut token, mut key) = self.next();
        let not = token == Token::Not;
        if not {
            (token, key) = self.next();
        }
        if token != Token::Identifier {
            return Err(format!("found '{key}', expected: identifier"));
        }
        let wrong = is_qualified_name(&key);
        if !wrong.is_empty() {
            let mut causes = Causes::default();
            causes.invalid("<nil>", &key.into(), &wrong.join("; "));
            return Err(aggregate(&causes).expect("one cause was just added"));
        }
        if not {
            return Requirement::new(&key, Operator::DoesNotExist, Vec::new());
        }
        if matches!(self.peek().0, Token::End | Token::Comma) {
            return Requirement::new(&key, Operator::Exists, Vec::new());
        }
        let operator = self.operator()?;
        let values = match operator {
            Operator::In | Operator::NotIn => self.values()?,
            _ => vec![self.value()?],
        };
        Requirement::new(&key, operator, values)
    }

    fn operator(&mut self) -> Result<Operator, String> {
        let (token, literal) = &self.tokens[self.at];
        match token {
            Token::Word(operator) | Token::Sign(operator) => {
                self.at += 1;
                Ok(*operator)
            }
            _ => Err(format!("found '{literal}', expected: in, notin, =, ==, !=, gt, lt")),
        }
    }

    /// `(a,b)`, with empty values between commas.
    fn values(&mut self) -> Result<Vec<String>, String> {
        let (token, literal) = self.next();
        if token != Token::Open {
            return Err(format!("found '{literal}' expected: '('"));
        }
        match self.peek() {
            (Token::Identifier | Token::Comma, first) => {
                let first = first.to_owned();
                let values = self.identifiers()?;
                match self.next() {
                    (Token::Close, _) => Ok(values),
                    _ => Err(format!("found '{first}', expected: ')'")),
                }
            }
            (Token::Close, _) => {
                self.next();
                Ok(vec![String::new()])
            }
            (_, literal) => Err(format!("found '{literal}', expected: ',', ')' or identifier")),
        }
    }

    fn identifiers(&mut self) -> Result<Vec<String>, String> {
        let mut values = Vec::new();
        loop {
            match self.next() {
                (Token::Identifier, value) => {
                    values.push(value);
                    match self.peek() {
                        (Token::Comma, _) => {}
                        (Token::Close, _) => return Ok(values),
                        (_, literal) => return Err(format!("found '{literal}', expected: ',' or ')'")),
                    }
                }
                (Token::Comma, _) => {
                    if values.is_empty() {
                        values.push(String::new());
                    }
                    match self.peek().0 {
                        Token::Close => {
                            values.push(String::new());
                            return Ok(values);
                        }
                        Token::Comma => values.push(String::new()),
                        _ => {}
                    }
                }
                (_, literal) => return Err(format!("found '{literal}', expected: ',', or identifier")),
            }
        }
    }

    fn value(&mut self) -> Result<String, String> {
        if matches!(self.peek().0, Token::End | Token::Comma) {
            return Ok(String::new());
        }
        match self.next() {
            (Token::Identifier, value) => Ok(value),
            (_, literal) => Err(format!("found '{literal}', expected: identifier")),
        }
    }
}
