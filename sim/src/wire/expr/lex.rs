//! Characters to tokens.

use super::ExprError;

/// A token's kind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Token {
    /// `IP`, `src`.
    Name(String),
    /// `80`, `0x50`, `-1` is none.
    Number(u128),
    /// `'text'` or `"text"`.
    Text(String),
    /// `b'\x00'`, `hex'00'`.
    Bytes(Vec<u8>),
    /// One of `/ ( ) , = *`.
    Sign(char),
    /// The end of the text.
    End,
}

impl Token {
    /// The token in words, for errors.
    pub fn describe(&self) -> String {
        match self {
            Self::Name(name) => format!("`{name}`"),
            Self::Number(number) => format!("the number {number}"),
            Self::Text(text) => format!("the text '{}'", text.escape_debug()),
            Self::Bytes(bytes) => format!("{} bytes", bytes.len()),
            Self::Sign(sign) => format!("`{sign}`"),
            Self::End => "the end".to_owned(),
        }
    }
}

/// Splits the text into tokens, each with its column; the last is [`Token::End`].
pub fn lex(text: &str) -> Result<Vec<(usize, Token)>, ExprError> {
    let mut lexer = Lexer { chars: text.chars().collect(), at: 0 };
    let mut tokens = Vec::new();
    loop {
        let token = lexer.token()?;
        let end = token.1 == Token::End;
        tokens.push(token);
        if end {
            return Ok(tokens);
        }
    }
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
}

impl Lexer {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn error<T>(&self, at: usize, what: impl Into<String>) -> Result<T, ExprError> {
        Err(ExprError { column: at.min(self.chars.len()) + 1, what: what.into(), help: None })
    }

    fn token(&mut self) -> Result<(usize, Token), ExprError> {
        while let Some(c) = self.peek() {
            match c {
                '#' => self.at += self.chars[self.at..].iter().take_while(|&&c| c != '\n').count(),
                c if c.is_whitespace() => self.at += 1,
                _ => break,
            }
        }
        let start = self.at;
        let token = match self.peek() {
            None => Token::End,
            Some(sign @ ('/' | '(' | ')' | ',' | '=' | '*')) => {
                self.at += 1;
                Token::Sign(sign)
            }
            Some('\'' | '"') => Token::Text(self.text()?),
            Some(c) if c.is_ascii_alphanumeric() || c == '_' => self.word()?,
            Some(c) => return self.error(start, format!("`{c}` has no meaning here")),
        };
        Ok((start + 1, token))
    }

    fn word(&mut self) -> Result<Token, ExprError> {
        let start = self.at;
        while self.peek().is_some_and(|c| c.is_ascii_alphanumeric() || c == '_') {
            self.at += 1;
        }
        let word: String = self.chars[start..self.at].iter().collect();
        let quoted = matches!(self.peek(), Some('\'' | '"'));
        match word.as_str() {
            "b" if quoted => self.bytes().map(Token::Bytes),
            "hex" if quoted => self.hex().map(Token::Bytes),
            _ if word.starts_with(|c: char| c.is_ascii_digit()) => {
                let number = match word.strip_prefix("0x") {
                    Some(digits) => u128::from_str_radix(digits, 16),
                    None => word.parse(),
                };
                match number {
                    Ok(number) => Ok(Token::Number(number)),
                    Err(_) => self.error(start, format!("`{word}` is no number; addresses stand in quotes")),
                }
            }
            _ => Ok(Token::Name(word)),
        }
    }

    /// The characters between quotes with their columns, escapes resolved to values below 256 where `\x` gave them.
    fn quoted(&mut self) -> Result<Vec<(usize, char)>, ExprError> {
        let start = self.at;
        let quote = self.chars[start];
        self.at += 1;
        let mut inside = Vec::new();
        loop {
            let at = self.at;
            let Some(c) = self.peek() else { return self.error(start, "the text has no closing quote") };
            self.at += 1;
            match c {
                c if c == quote => return Ok(inside),
                '\\' => inside.push((at, self.escape()?)),
                c => inside.push((at, c)),
            }
        }
    }

    fn escape(&mut self) -> Result<char, ExprError> {
        let at = self.at - 1;
        let Some(c) = self.peek() else { return self.error(at, "the text ends inside an escape") };
        self.at += 1;
        Ok(match c {
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            '0' => '\0',
            '\\' | '\'' | '"' => c,
            'x' => {
                let digits: String = self.chars[self.at..].iter().take(2).collect();
                match u8::from_str_radix(&digits, 16) {
                    Ok(value) if digits.len() == 2 && !digits.starts_with('+') => {
                        self.at += 2;
                        char::from(value)
                    }
                    _ => return self.error(at, "expected two hexadecimal digits after `\\x`"),
                }
            }
            _ => {
                return self.error(
                    at,
                    format!("unknown escape `\\{c}`; known are \\n \\r \\t \\0 \\\\ \\' \\\" \\x00"),
                );
            }
        })
    }

    fn text(&mut self) -> Result<String, ExprError> {
        Ok(self.quoted()?.into_iter().map(|(_, c)| c).collect())
    }

    fn bytes(&mut self) -> Result<Vec<u8>, ExprError> {
        let inside = self.quoted()?;
        let byte = |&(at, c): &(usize, char)| match u8::try_from(u32::from(c)) {
            Ok(byte) => Ok(byte),
            Err(_) => self.error(at, format!("`{c}` is no byte")),
        };
        inside.iter().map(byte).collect()
    }

    fn hex(&mut self) -> Result<Vec<u8>, ExprError> {
        let inside: Vec<(usize, char)> =
            self.quoted()?.into_iter().filter(|(_, c)| !c.is_whitespace() && *c != ':').collect();
        let digit = |&(at, c): &(usize, char)| match c.to_digit(16) {
            Some(digit) => Ok(digit as u8),
            None => self.error(at, format!("`{}` is no hexadecimal digit", c.escape_debug())),
        };
        let digits: Vec<u8> = inside.iter().map(digit).collect::<Result<_, _>>()?;
        match inside.last() {
            Some(&(at, _)) if digits.len() % 2 == 1 => self.error(at, "an odd number of hexadecimal digits"),
            _ => Ok(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()),
        }
    }
}
