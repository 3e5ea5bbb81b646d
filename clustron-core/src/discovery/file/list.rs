//! What stands in a file of addresses.

use super::super::{DiscoveryError, HOST_PORT, SEEDS_MAX, TOO_MANY, check_address};

/// The addresses in a file's bytes, in their order.
///
/// # Errors
/// `origin`'s, with the line, when there is anything else, nothing at all, or too much.
pub(super) fn parse(origin: &str, bytes: &[u8]) -> Result<Vec<String>, DiscoveryError> {
    let mut addresses = vec![];
    for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let wrong = |reason: &str, remedy| {
            let reason = format!("line {}: {reason}", at + 1);
            Err(DiscoveryError::new(origin, reason, remedy))
        };
        let Ok(line) = std::str::from_utf8(line) else {
            return wrong("it is not UTF-8", HOST_PORT);
        };
        let address = line.split('#').next().unwrap_or_default().trim();
        if address.is_empty() {
            continue;
        }
        if let Err(reason) = check_address(address) {
            return wrong(&reason, HOST_PORT);
        }
        if addresses.len() == SEEDS_MAX {
            return wrong("it has one address too many", TOO_MANY);
        }
        addresses.push(address.to_owned());
    }
    if addresses.is_empty() {
        // Whoever writes in place empties the file first.
        let remedy = "write one host:port a line, such as 10.0.0.7:7000";
        return Err(DiscoveryError::new(origin, "there is no address in it", remedy));
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_an_address_or_a_comment() {
        let text = b"# the shop\n\n a:1 # first\r\n\tb:2\n#c:3\nd:4";
        assert_eq!(parse("f", text).unwrap(), ["a:1", "b:2", "d:4"]);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let many = "a:1\n".repeat(SEEDS_MAX + 1);
        for (bytes, said) in [
            (&b"a:1\n\nb\n"[..], "f: line 3: \"b\" is no address: give host:port"),
            (b"a:1\n\xff:1\n", "f: line 2: it is not UTF-8"),
            (b"a:1 b:1", "line 1: \"a:1 b:1\" is no address"),
            (many.as_bytes(), "line 1025: it has one address too many: give at most 1024"),
            (b"", "f: there is no address in it: write one host:port a line"),
            (b"# soon\n", "there is no address in it"),
        ] {
            let error = parse("f", bytes).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        assert_eq!(parse("f", "a:1\n".repeat(SEEDS_MAX).as_bytes()).unwrap().len(), SEEDS_MAX);
    }
}
