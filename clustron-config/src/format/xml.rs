//! XML: elements are keys, and elements called `item` make a list.
//!
//! There is no document type here and no entity but the five that XML has of its own, so a file can
//! neither grow (the "billion laughs") nor have us read others.

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};

use super::{DEPTH_MAX, Lines, Place, Syntax, too_deep};
use crate::origin::Origin;
use crate::tree::{Entry, Node, Value, folded, quoted};

/// What the outermost element is called, folded.
const ROOT: &str = "clustron";

/// What the elements of a list are called.
const ITEM: &str = "item";

pub(super) fn read(at: &Place<'_>) -> Result<Node, Syntax> {
    let lines = Lines::of(at);
    let mut reader = Reader::from_str(at.text);
    let mut parser = Parser { at, lines: &lines, open: vec![], root: None };
    loop {
        let offset = position(reader.buffer_position());
        let event = reader
            .read_event()
            .map_err(|error| at.syntax(position(reader.error_position()), error.to_string()))?;
        match event {
            Event::Start(start) => parser.open(&start, offset)?,
            Event::Empty(start) => {
                parser.open(&start, offset)?;
                parser.close()?;
            }
            Event::End(_) => parser.close()?,
            Event::Text(text) => parser.text(&text.xml10_content(), offset)?,
            Event::CData(text) => parser.text(&text.xml10_content(), offset)?,
            Event::GeneralRef(reference) => parser.reference(&reference, offset)?,
            Event::Comment(_) => {}
            Event::Decl(declaration) => {
                let encoding =
                    declaration.encoding().and_then(Result::ok).unwrap_or("utf-8".into());
                if !encoding.eq_ignore_ascii_case("utf-8") {
                    let text = format!("the encoding is {}: save it as UTF-8", quoted(&encoding));
                    return Err(at.syntax(offset, text));
                }
            }
            Event::PI(_) => return Err(at.syntax(offset, "processing instructions are not read")),
            Event::DocType(_) => {
                return Err(
                    at.syntax(offset, "document types and entities are not read: take them out")
                );
            }
            Event::Eof => break,
        }
    }
    if let Some(element) = parser.open.last() {
        let text = format!("element {} does not end", quoted(&element.name));
        return Err(at.syntax(element.offset, text));
    }
    let root = parser.root.ok_or_else(|| at.syntax(0, "there is no element <clustron>"))?;
    if let Value::Text(text) = &root.value
        && text.is_empty()
    {
        return Ok(Node { value: Value::Table(vec![]), origin: root.origin });
    }
    Ok(root)
}

fn position(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

/// An element whose end has not come yet.
struct Element {
    name: String,
    origin: Origin,
    offset: usize,
    text: String,
    children: Vec<Entry>,
}

struct Parser<'a> {
    at: &'a Place<'a>,
    lines: &'a Lines<'a>,
    /// Outermost first.
    open: Vec<Element>,
    root: Option<Node>,
}

impl Parser<'_> {
    fn open(&mut self, start: &BytesStart<'_>, offset: usize) -> Result<(), Syntax> {
        let name = start.name().as_ref().to_owned();
        if self.open.is_empty() && (folded(&name) != ROOT || self.root.is_some()) {
            let text = format!("the file must be one element <clustron>, and here is <{name}>");
            return Err(self.at.syntax(offset, text));
        }
        if self.open.len() > DEPTH_MAX {
            return Err(self.at.syntax(offset, too_deep()));
        }
        if !start.attributes_raw().trim().is_empty() {
            let text = format!("<{name}> has attributes: write each as an element within it");
            return Err(self.at.syntax(offset, text));
        }
        let origin = self.lines.origin(offset)?;
        self.open.push(Element { name, origin, offset, text: String::new(), children: vec![] });
        Ok(())
    }

    fn text(&mut self, text: &str, offset: usize) -> Result<(), Syntax> {
        match self.open.last_mut() {
            Some(element) => element.text.push_str(text),
            None if text.trim().is_empty() => {}
            None => return Err(self.at.syntax(offset, "there is text outside of <clustron>")),
        }
        Ok(())
    }

    fn reference(&mut self, reference: &BytesRef<'_>, offset: usize) -> Result<(), Syntax> {
        let name = reference.xml10_content();
        let character = reference.resolve_char_ref().ok().flatten();
        match (character, resolve_predefined_entity(&name)) {
            (Some(character), _) => self.text(character.encode_utf8(&mut [0; 4]), offset),
            (None, Some(text)) => self.text(text, offset),
            (None, None) => {
                let text =
                    format!("entity {} is none of amp, lt, gt, quot and apos", quoted(&name));
                Err(self.at.syntax(offset, text))
            }
        }
    }

    fn close(&mut self) -> Result<(), Syntax> {
        let Some(element) = self.open.pop() else { return Ok(()) };
        let items = element.children.iter().filter(|child| folded(&child.key) == ITEM).count();
        let value = if element.children.is_empty() {
            Value::Text(element.text.trim().to_owned())
        } else if !element.text.trim().is_empty() {
            let text = format!("<{}> has both text and elements: keep one of them", element.name);
            return Err(self.at.syntax(element.offset, text));
        } else if items == 0 {
            Value::Table(element.children)
        } else if items == element.children.len() {
            Value::List(element.children.into_iter().map(|child| child.node).collect())
        } else {
            let text = format!("<{}> has both <item>s and other elements", element.name);
            return Err(self.at.syntax(element.offset, text));
        };
        let node = Node { value, origin: element.origin };
        match self.open.last_mut() {
            Some(parent) => parent.children.push(Entry { key: element.name, node }),
            None => self.root = Some(node),
        }
        Ok(())
    }
}
