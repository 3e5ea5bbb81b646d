//! An `appsettings.json` may have comments and commas after the last item, as .NET reads it.

/// The text with blanks in the place of comments and superfluous commas, so that everything else
/// keeps its line and column. What is no JSON stays none.
pub(super) fn blanked(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let (mut at, mut comma) = (0, None);
    while at < bytes.len() {
        match (bytes[at], bytes.get(at + 1)) {
            (b'"', _) => {
                at = string_end(&bytes, at);
                comma = None;
            }
            (b'/', Some(b'/')) => {
                let end = find(&bytes, at, b"\n").unwrap_or(bytes.len());
                at = blank(&mut bytes, at, end);
            }
            (b'/', Some(b'*')) => {
                let end = find(&bytes, at + 2, b"*/").map_or(bytes.len(), |end| end + 2);
                at = blank(&mut bytes, at, end);
            }
            (b',', _) => {
                comma = Some(at);
                at += 1;
            }
            (b'}' | b']', _) => {
                if let Some(comma) = comma.take() {
                    bytes[comma] = b' ';
                }
                at += 1;
            }
            (byte, _) => {
                if !byte.is_ascii_whitespace() {
                    comma = None;
                }
                at += 1;
            }
        }
    }
    // Only whole comments and ASCII commas were replaced, so it is UTF-8 still.
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

/// The place after the string that begins at `start`.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn find(bytes: &[u8], from: usize, what: &[u8]) -> Option<usize> {
    let rest = bytes.get(from..)?;
    rest.windows(what.len()).position(|window| window == what).map(|at| from + at)
}

/// Puts blanks from `start` to `end`, but keeps the lines. Gives `end`.
fn blank(bytes: &mut [u8], start: usize, end: usize) -> usize {
    let comment = bytes[start..end].iter_mut();
    comment.filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_superfluous_commas_become_blanks() {
        for (text, plain) in [
            ("{\"a\": 1, // one\n}", "{\"a\": 1        \n}"),
            ("[1, /* two\n lines */ 2,]", "[1,       \n          2 ]"),
            ("[1, 2, /* ü */ ]", "[1, 2           ]"),
        ] {
            assert_eq!(blanked(text), plain, "{text}");
        }
    }

    #[test]
    fn strings_and_errors_stay_as_they_are() {
        for text in ["{\"a\": \"// no, }\", \"b\\\"/*\": 2}", "[1,,2]", "[,1]", "\"open // ,]", "/"]
        {
            assert_eq!(blanked(text), text);
        }
    }
}
