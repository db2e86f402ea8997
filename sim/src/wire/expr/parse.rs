//! Tokens to a list of layers with the fields that are set.

use super::lex::{Token, lex};
use super::{ExprError, Literal, did_you_mean};
use crate::wire::layer::{Field, Proto};

/// More than any frame; a count behind `*` cannot ask for more.
const BYTES_MAX: usize = 1 << 18;

/// One layer of an expression.
#[derive(Clone, Debug)]
pub struct Call {
    /// Which header.
    pub proto: Proto,
    /// Column of its name, from 1.
    pub column: usize,
    /// The fields that are set, in the order written.
    pub arguments: Vec<Argument>,
}

/// One field that is set.
#[derive(Clone, Debug)]
pub struct Argument {
    /// The field.
    pub field: &'static Field,
    /// Column of its name, from 1.
    pub column: usize,
    /// The value, not yet checked against the field.
    pub value: Literal,
    /// Column of the value, from 1.
    pub value_column: usize,
}

/// The layers of an expression, from outside in.
pub fn parse(text: &str) -> Result<Vec<Call>, ExprError> {
    let mut parser = Parser { tokens: lex(text)?, at: 0 };
    let mut calls = vec![parser.layer()?];
    while parser.take('/') {
        calls.push(parser.layer()?);
    }
    match parser.peek() {
        (_, Token::End) => Ok(calls),
        _ => parser.expected("`/` and the next layer, or the end"),
    }
}

/// One value, such as an edit gives it in a text.
pub(in crate::wire) fn literal(text: &str) -> Result<Literal, ExprError> {
    let mut parser = Parser { tokens: lex(text)?, at: 0 };
    let value = parser.value("a value")?;
    match parser.peek() {
        (_, Token::End) => Ok(value),
        _ => parser.expected("the end"),
    }
}

struct Parser {
    tokens: Vec<(usize, Token)>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> &(usize, Token) {
        &self.tokens[self.at]
    }

    fn next(&mut self) -> (usize, Token) {
        let token = self.tokens[self.at].clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    fn take(&mut self, sign: char) -> bool {
        let found = self.peek().1 == Token::Sign(sign);
        if found {
            self.next();
        }
        found
    }

    fn expected<T>(&self, what: &str) -> Result<T, ExprError> {
        let (column, token) = self.peek();
        Err(ExprError {
            column: *column,
            what: format!("expected {what}, found {}", token.describe()),
            help: None,
        })
    }

    fn layer(&mut self) -> Result<Call, ExprError> {
        let (column, token) = self.peek().clone();
        match token {
            Token::Name(name) => {
                self.next();
                self.call(column, &name)
            }
            Token::Text(_) | Token::Bytes(_) | Token::Sign('(') => {
                let in_parentheses = self.take('(');
                let value = self.bytes(in_parentheses)?;
                if in_parentheses && !self.take(')') {
                    return self.expected("`)`");
                }
                let field = &Proto::Raw.spec().fields[0];
                let argument = Argument { field, column, value, value_column: column };
                Ok(Call { proto: Proto::Raw, column, arguments: vec![argument] })
            }
            _ => self.expected("a layer such as `Ether()`, `IP()` or 'text'"),
        }
    }

    fn call(&mut self, column: usize, name: &str) -> Result<Call, ExprError> {
        let Some(&proto) = Proto::ALL.iter().find(|proto| proto.spec().name == name) else {
            let known = Proto::ALL.iter().map(|proto| proto.spec().name);
            let help = did_you_mean(name, known);
            return Err(ExprError { column, what: format!("unknown layer `{name}`"), help });
        };
        if !self.take('(') {
            return self.expected(&format!("`(` behind `{name}`"));
        }
        let mut call = Call { proto, column, arguments: Vec::new() };
        while !self.take(')') {
            if !call.arguments.is_empty() && !self.take(',') {
                return self.expected("`,` or `)`");
            }
            if self.take(')') {
                break;
            }
            let argument = self.argument(proto)?;
            if call.arguments.iter().any(|before| before.field.name == argument.field.name) {
                let what = format!("`{}` is set twice", argument.field.name);
                return Err(ExprError { column: argument.column, what, help: None });
            }
            call.arguments.push(argument);
        }
        Ok(call)
    }

    fn argument(&mut self, proto: Proto) -> Result<Argument, ExprError> {
        let (column, token) = self.peek().clone();
        let Token::Name(name) = token else {
            // `Raw('text')`: the one field needs no name.
            if matches!(proto, Proto::Raw | Proto::Padding) {
                let field = &proto.spec().fields[0];
                let value = self.bytes(true)?;
                return Ok(Argument { field, column, value, value_column: column });
            }
            return self.expected("a field's name");
        };
        self.next();
        let Some(field) = proto.spec().field(&name) else {
            let known: Vec<_> = proto.spec().fields.iter().map(|field| field.name).collect();
            let help = did_you_mean(&name, known.iter().copied())
                .unwrap_or_else(|| format!("its fields are {}", known.join(", ")));
            return Err(ExprError {
                column,
                what: format!("{proto} has no field `{name}`"),
                help: Some(help),
            });
        };
        if !self.take('=') {
            return self.expected(&format!("`=` behind `{name}`"));
        }
        let value_column = self.peek().0;
        let value = self.value(&format!("a value for `{name}`"))?;
        Ok(Argument { field, column, value, value_column })
    }

    fn value(&mut self, what: &str) -> Result<Literal, ExprError> {
        match self.peek().1 {
            Token::Number(number) => {
                self.next();
                Ok(Literal::Number(number))
            }
            Token::Text(_) | Token::Bytes(_) => self.bytes(true),
            _ => self.expected(what),
        }
    }

    /// Text or bytes; with `repeat`, also repeated by `*` and a count.
    fn bytes(&mut self, repeat: bool) -> Result<Literal, ExprError> {
        let literal = match self.peek().1.clone() {
            Token::Text(text) => Literal::Text(text),
            Token::Bytes(bytes) => Literal::Bytes(bytes),
            _ => return self.expected("text or bytes, such as 'abc' or hex'616263'"),
        };
        self.next();
        if !repeat || !self.take('*') {
            return Ok(literal);
        }
        let (column, token) = self.peek().clone();
        let Token::Number(count) = token else { return self.expected("a count behind `*`") };
        self.next();
        let fits = |len: usize| {
            let count = usize::try_from(count)
                .ok()
                .filter(|n| n.checked_mul(len).is_some_and(|all| all <= BYTES_MAX));
            count.ok_or(ExprError { column, what: format!("more than {BYTES_MAX} bytes"), help: None })
        };
        Ok(match literal {
            Literal::Text(text) => Literal::Text(text.repeat(fits(text.len())?)),
            Literal::Bytes(bytes) => Literal::Bytes(bytes.repeat(fits(bytes.len())?)),
            number @ Literal::Number(_) => number,
        })
    }
}
