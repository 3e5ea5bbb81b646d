//! Tells code, comments and literals apart, byte by byte.

/// What a byte of a Rust file belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Code,
    /// Documentation too.
    Comment,
    /// Strings and characters, with their quotes.
    Literal,
}

/// The kind of every byte of `text`.
pub(super) fn classify(text: &str) -> Vec<Kind> {
    let bytes = text.as_bytes();
    let mut kinds = Vec::with_capacity(bytes.len());
    while kinds.len() < bytes.len() {
        let at = kinds.len();
        let (kind, length) = token(text, at);
        kinds.resize((at + length).min(bytes.len()), kind);
    }
    kinds
}

/// The kind and length of what begins at `at`. Code is taken byte by byte.
fn token(text: &str, at: usize) -> (Kind, usize) {
    let rest = &text.as_bytes()[at..];
    match rest {
        [b'/', b'/', ..] => {
            (Kind::Comment, rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len()))
        }
        [b'/', b'*', ..] => (Kind::Comment, block_comment(rest)),
        [b'"', ..] => (Kind::Literal, quoted(rest, b'"')),
        [b'r', b'"' | b'#', ..] if !follows_word(text, at) => match raw_string(rest) {
            Some(length) => (Kind::Literal, length),
            None => (Kind::Code, 1),
        },
        [b'\'', b'\\', ..] => (Kind::Literal, quoted(rest, b'\'')),
        [b'\'', ..] => match character(rest) {
            Some(length) => (Kind::Literal, length),
            // A lifetime.
            None => (Kind::Code, 1),
        },
        _ => (Kind::Code, 1),
    }
}

/// `br"` and `cr"` are raw strings too; only other letters make the `r` a part of a word.
fn follows_word(text: &str, at: usize) -> bool {
    let before = text.as_bytes()[..at].strip_suffix(b"b");
    let before = before.or_else(|| text.as_bytes()[..at].strip_suffix(b"c"));
    let before = before.unwrap_or(&text.as_bytes()[..at]);
    before.last().is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0usize, 0);
    while at < rest.len() {
        let step = match &rest[at..] {
            [b'/', b'*', ..] => {
                depth += 1;
                2
            }
            [b'*', b'/', ..] => {
                depth -= 1;
                2
            }
            _ => 1,
        };
        at += step;
        if depth == 0 {
            break;
        }
    }
    at
}

fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// `None` for a raw identifier such as `r#type`.
fn raw_string(rest: &[u8]) -> Option<usize> {
    let hashes = rest[1..].iter().take_while(|byte| **byte == b'#').count();
    let body = 1 + hashes;
    if rest.get(body) != Some(&b'"') {
        return None;
    }
    let mut end = vec![b'"'];
    end.resize(1 + hashes, b'#');
    let inside = &rest[body + 1..];
    let length = inside.windows(end.len()).position(|window| window == end);
    Some(length.map_or(rest.len(), |length| body + 1 + length + end.len()))
}

/// A character is closed by a quote right behind it; a lifetime is not.
fn character(rest: &[u8]) -> Option<usize> {
    let width = match rest.get(1)? {
        0x00..=0x7f => 1,
        0xc0..=0xdf => 2,
        0xe0..=0xef => 3,
        _ => 4,
    };
    (rest.get(1 + width) == Some(&b'\'')).then_some(width + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One letter for each byte: `.` for code, `c` for comments, `l` for literals.
    fn kinds(text: &str) -> String {
        let letter = |kind: &Kind| match kind {
            Kind::Code => '.',
            Kind::Comment => 'c',
            Kind::Literal => 'l',
        };
        classify(text).iter().map(letter).collect()
    }

    #[test]
    fn comments_end_where_they_should() {
        assert_eq!(kinds("a // b\nc"), "..cccc..");
        assert_eq!(kinds("/* /* */ */a"), "ccccccccccc.");
        assert_eq!(kinds("/* open"), "ccccccc");
    }

    #[test]
    fn strings_hide_comments_and_comments_hide_strings() {
        assert_eq!(kinds(r#""//" a"#), "llll..");
        assert_eq!(kinds("// \"\na"), "cccc..");
        assert_eq!(kinds(r#""\"" a"#), "llll..");
    }

    #[test]
    fn raw_strings_end_at_their_own_fence() {
        assert_eq!(kinds("r#\"a\"b\"# x"), "llllllll..");
        assert_eq!(kinds("br\"a\\\" x"), ".lllll..");
        assert_eq!(kinds("r#type x"), "........");
        assert_eq!(kinds("bar\"a\""), "...lll");
    }

    #[test]
    fn lifetimes_are_code_and_characters_are_not() {
        assert_eq!(kinds("&'a x"), ".....");
        assert_eq!(kinds("'\"' x"), "lll..");
        assert_eq!(kinds("'\\'' x"), "llll..");
        assert_eq!(kinds("'ü' x"), "llll..");
    }
}
