//! Tokens to a tree: CEL's grammar by recursive descent, with chains of operators and of selections in loops.

use smol_str::SmolStr;

use crate::ast::{Ast, Kind, Literal, NodeId};
use crate::escape::is_reserved;
use crate::issue::Issues;
use crate::lexer::{Spanned, Token, tokens};
use crate::macros;

/// How deep an expression may nest, and its tree be.
pub const DEPTH: u16 = 250;
/// How long a text may be, in characters.
const LONGEST: usize = 100_000;

/// What may begin an operand, as the reference lists it.
const OPERANDS: &str =
    "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}";

/// Reads an expression and expands its macros.
pub fn parse(source: &str) -> Result<Ast, Issues> {
    let mut issues = Issues::new(source);
    let length = source.chars().count();
    if length > LONGEST {
        issues.report(0, format!("expression code point size exceeds limit: size: {length}, limit {LONGEST}"));
        return Err(issues);
    }
    let tokens = match tokens(source) {
        Ok(tokens) => tokens,
        Err(unread) => {
            issues.report(unread.at, unread.message);
            return Err(issues);
        }
    };
    let mut parser = Parser { tokens, next: 0, ast: Ast::default(), issues, depth: 0 };
    let root = parser.expression().and_then(|root| {
        parser.expect_end()?;
        Ok(root)
    });
    match root {
        Ok(root) if parser.issues.is_empty() => {
            parser.ast.root = root;
            Ok(parser.ast)
        }
        _ => Err(parser.issues),
    }
}

/// The parser has reported why it cannot go on.
#[derive(Debug)]
pub(crate) struct GivenUp;

type Parsed<T = NodeId> = Result<T, GivenUp>;

pub(crate) struct Parser {
    tokens: Vec<Spanned>,
    next: usize,
    pub ast: Ast,
    pub issues: Issues,
    depth: u16,
}

impl Parser {
    fn peek(&self) -> &Token {
        &self.tokens[self.next].token
    }

    fn at(&self) -> u32 {
        self.tokens[self.next].at
    }

    fn advance(&mut self) -> u32 {
        let at = self.at();
        self.next = (self.next + 1).min(self.tokens.len() - 1);
        at
    }

    /// Takes an operator or bracket, if it is the next token; where it stood.
    fn take(&mut self, mark: &str) -> Option<u32> {
        (matches!(self.peek(), Token::Mark(found) if *found == mark)).then(|| self.advance())
    }

    pub(crate) fn fail<T>(&mut self, at: u32, message: impl Into<String>) -> Parsed<T> {
        self.issues.report(at, message);
        Err(GivenUp)
    }

    /// The next token is not what is needed here.
    fn unexpected<T>(&mut self, expecting: &str) -> Parsed<T> {
        let found = &self.tokens[self.next];
        let text = if found.token == Token::End { "<EOF>" } else { found.text.as_str() };
        // One token too much is worded differently.
        let after = self.tokens.get(self.next + 1).map(|token| &token.token);
        let extraneous = match after {
            Some(Token::End) => expecting == "<EOF>",
            Some(Token::Name(_) | Token::Literal(_)) => expecting == OPERANDS,
            _ => false,
        };
        let what = if extraneous { "extraneous" } else { "mismatched" };
        let message = format!("Syntax error: {what} input '{text}' expecting {expecting}");
        let at = found.at;
        self.fail(at, message)
    }

    fn expect(&mut self, mark: &str) -> Parsed<u32> {
        match self.take(mark) {
            Some(at) => Ok(at),
            None => self.unexpected(&format!("'{mark}'")),
        }
    }

    fn expect_end(&mut self) -> Parsed<()> {
        if *self.peek() == Token::End { Ok(()) } else { self.unexpected("<EOF>") }
    }

    pub(crate) fn add(&mut self, kind: Kind, at: u32) -> Parsed {
        let id = self.ast.add(kind, at);
        if self.ast.node(id).depth > DEPTH {
            return self.fail(at, format!("expression recursion limit exceeded: {DEPTH}"));
        }
        Ok(id)
    }

    pub(crate) fn call(&mut self, function: &str, args: Vec<NodeId>, at: u32) -> Parsed {
        self.add(Kind::Call { function: function.into(), target: None, args }, at)
    }

    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= DEPTH {
            let at = self.at();
            return self.fail(at, format!("expression recursion limit exceeded: {DEPTH}"));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    fn expression(&mut self) -> Parsed {
        self.deeper(|parser| {
            let condition = parser.logic("||")?;
            let Some(at) = parser.take("?") else { return Ok(condition) };
            let yes = parser.logic("||")?;
            parser.expect(":")?;
            let no = parser.expression()?;
            parser.call("_?_:_", vec![condition, yes, no], at)
        })
    }

    /// `a || b || c` as a balanced tree, so that long chains are not deep.
    fn logic(&mut self, operator: &'static str) -> Parsed {
        let mut operands = vec![self.logic_operand(operator)?];
        let mut places = Vec::new();
        while let Some(at) = self.take(operator) {
            places.push(at);
            operands.push(self.logic_operand(operator)?);
        }
        let function = if operator == "||" { "_||_" } else { "_&&_" };
        self.balance(function, &operands, &places)
    }

    fn logic_operand(&mut self, operator: &str) -> Parsed {
        if operator == "||" { self.logic("&&") } else { self.binary(0) }
    }

    fn balance(&mut self, function: &str, operands: &[NodeId], places: &[u32]) -> Parsed {
        if let [one] = operands {
            return Ok(*one);
        }
        let middle = places.len() / 2;
        let left = self.balance(function, &operands[..=middle], &places[..middle])?;
        let right = self.balance(function, &operands[middle + 1..], &places[middle + 1..])?;
        self.call(function, vec![left, right], places[middle])
    }

    /// Operators that take the operand to their left: relations, then sums, then products.
    fn binary(&mut self, level: usize) -> Parsed {
        const LEVELS: [&[(&str, &str)]; 3] = [
            &[
                ("<", "_<_"),
                ("<=", "_<=_"),
                (">=", "_>=_"),
                (">", "_>_"),
                ("==", "_==_"),
                ("!=", "_!=_"),
                ("in", "@in"),
            ],
            &[("+", "_+_"), ("-", "_-_")],
            &[("*", "_*_"), ("/", "_/_"), ("%", "_%_")],
        ];
        let Some(operators) = LEVELS.get(level) else { return self.unary() };
        let mut left = self.binary(level + 1)?;
        loop {
            let found = match self.peek() {
                Token::Mark(mark) => operators.iter().find(|(text, _)| text == mark),
                _ => None,
            };
            let Some((_, function)) = found else { return Ok(left) };
            let at = self.advance();
            let right = self.binary(level + 1)?;
            left = self.call(function, vec![left, right], at)?;
        }
    }

    fn unary(&mut self) -> Parsed {
        let mark = match self.peek() {
            Token::Mark(mark @ ("!" | "-")) => *mark,
            _ => return self.member(),
        };
        let mut places = Vec::new();
        while let Some(at) = self.take(mark) {
            places.push(at);
        }
        let at = places[0];
        let mut count = places.len();
        let operand = match self.negative_literal(mark, places[count - 1])? {
            Some(literal) => {
                count -= 1;
                let operand = self.add(Kind::Literal(literal), places[count])?;
                self.members_of(operand)?
            }
            None => self.member()?,
        };
        match count % 2 {
            0 => Ok(operand),
            _ => self.call(if mark == "!" { "!_" } else { "-_" }, vec![operand], at),
        }
    }

    /// A number directly behind a minus is a negative literal.
    fn negative_literal(&mut self, mark: &str, at: u32) -> Parsed<Option<Literal>> {
        if mark != "-" {
            return Ok(None);
        }
        let literal = match self.peek() {
            Token::Literal(Literal::Int(value)) => Literal::Int(-value),
            Token::Literal(Literal::Double(value)) => Literal::Double(-value),
            Token::Misfit(what) if what == "min" => Literal::Int(i64::MIN),
            Token::Misfit(what) => {
                let what = what.clone();
                return self.fail(at, what);
            }
            _ => return Ok(None),
        };
        self.advance();
        Ok(Some(literal))
    }

    fn member(&mut self) -> Parsed {
        let primary = self.primary()?;
        self.members_of(primary)
    }

    /// `.field`, `.?field`, `.function(…)`, `[index]`, `[?index]`, any number of them.
    fn members_of(&mut self, mut operand: NodeId) -> Parsed {
        loop {
            if let Some(dot) = self.take(".") {
                operand = self.dotted(operand, dot)?;
            } else if let Some(at) = self.take("[") {
                let function = if self.take("?").is_some() { "_[?_]" } else { "_[_]" };
                let index = self.expression()?;
                self.expect("]")?;
                operand = self.call(function, vec![operand, index], at)?;
            } else {
                return Ok(operand);
            }
        }
    }

    fn dotted(&mut self, operand: NodeId, dot: u32) -> Parsed {
        let optional = self.take("?").is_some();
        let field_at = self.at();
        let (field, quoted) = match self.peek() {
            Token::Name(name) => (name.clone(), false),
            // The environments of Kubernetes do not switch escaped names on.
            Token::Quoted(_) => return self.fail(field_at, "unsupported syntax: '`'"),
            _ => return self.unexpected("IDENTIFIER"),
        };
        self.advance();
        if optional {
            let name = self.add(Kind::Literal(Literal::String(field)), field_at)?;
            return self.call("_?._", vec![operand, name], dot);
        }
        if !quoted && let Some(open) = self.take("(") {
            let args = self.arguments(")")?;
            return macros::member(self, operand, field, args, open);
        }
        self.add(Kind::Select { operand, field, test: false }, dot)
    }

    /// What stands between commas, up to the closing bracket.
    fn arguments(&mut self, close: &str) -> Parsed<Vec<NodeId>> {
        let mut args = Vec::new();
        if self.take(close).is_some() {
            return Ok(args);
        }
        loop {
            args.push(self.expression()?);
            if self.take(",").is_none() {
                self.expect(close)?;
                return Ok(args);
            }
        }
    }

    fn primary(&mut self) -> Parsed {
        let at = self.at();
        match self.peek().clone() {
            Token::Literal(literal) => {
                self.advance();
                self.add(Kind::Literal(literal), at)
            }
            Token::Misfit(what) => {
                let what = if what == "min" { "invalid int literal".to_owned() } else { what };
                self.fail(at, what)
            }
            Token::Mark("(") => {
                self.advance();
                let inner = self.expression()?;
                self.expect(")")?;
                Ok(inner)
            }
            Token::Mark("[") => {
                self.advance();
                self.list(at)
            }
            Token::Mark("{") => {
                self.advance();
                self.map(at)
            }
            Token::Mark(".") => {
                self.advance();
                match self.peek().clone() {
                    Token::Name(name) => self.named(smol_str::format_smolstr!(".{name}"), at),
                    _ => self.unexpected("IDENTIFIER"),
                }
            }
            Token::Name(name) => self.named(name, at),
            Token::Quoted(_) | Token::Mark(_) | Token::End => self.unexpected(OPERANDS),
        }
    }

    /// A variable, a function's call or a message: `a`, `f(…)`, `a.B{…}`.
    fn named(&mut self, name: SmolStr, at: u32) -> Parsed {
        self.advance();
        if let Some(open) = self.take("(") {
            let args = self.arguments(")")?;
            return macros::global(self, name, args, open);
        }
        if let Some(fields) = self.struct_name(&name) {
            return self.structure(fields);
        }
        if is_reserved(name.trim_start_matches('.')) {
            return self.fail(at, format!("reserved identifier: {name}"));
        }
        self.add(Kind::Ident(name), at)
    }

    /// The full name before `{`, if that is what follows; its tokens are taken up to the bracket.
    fn struct_name(&mut self, first: &str) -> Option<SmolStr> {
        let mut name = first.to_owned();
        let mut ahead = self.next;
        loop {
            match (&self.tokens[ahead].token, self.tokens.get(ahead + 1).map(|token| &token.token)) {
                (Token::Mark("{"), _) => {
                    self.next = ahead;
                    return Some(name.into());
                }
                (Token::Mark("."), Some(Token::Name(next))) => {
                    name.push('.');
                    name.push_str(next);
                    ahead += 2;
                }
                _ => return None,
            }
        }
    }

    fn structure(&mut self, name: SmolStr) -> Parsed {
        // Where the reference says that it is.
        let at = self.expect("{")?;
        let mut fields = Vec::new();
        while self.take("}").is_none() {
            let optional = self.take("?").is_some();
            let Token::Name(field) = self.peek().clone() else { return self.unexpected("IDENTIFIER") };
            self.advance();
            let colon = self.expect(":")?;
            let value = self.expression()?;
            fields.push((field, value, optional, colon));
            if self.take(",").is_none() {
                self.expect("}")?;
                break;
            }
        }
        self.add(Kind::Struct(name, fields), at)
    }

    fn list(&mut self, at: u32) -> Parsed {
        let (mut items, mut optional) = (Vec::new(), Vec::new());
        while self.take("]").is_none() {
            optional.push(self.take("?").is_some());
            items.push(self.expression()?);
            if self.take(",").is_none() {
                self.expect("]")?;
                break;
            }
        }
        self.add(Kind::List { items, optional }, at)
    }

    fn map(&mut self, at: u32) -> Parsed {
        let mut entries = Vec::new();
        while self.take("}").is_none() {
            let optional = self.take("?").is_some();
            let key = self.expression()?;
            self.expect(":")?;
            let value = self.expression()?;
            entries.push((key, value, optional));
            if self.take(",").is_none() {
                self.expect("}")?;
                break;
            }
        }
        self.add(Kind::Map(entries), at)
    }
}
