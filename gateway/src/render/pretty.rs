//! Indented JSON, for people.

use bytes::Bytes;

/// Indents valid JSON by two spaces, keeping the order of fields.
pub(crate) fn indent(text: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(text.len() * 2);
    let mut depth = 0usize;
    let mut bytes = text.iter().copied().filter(|byte| *byte >= b' ').peekable();
    let (mut in_text, mut escaped) = (false, false);
    while let Some(byte) = bytes.next() {
        if in_text {
            out.push(byte);
            (in_text, escaped) = (escaped || byte != b'"', !escaped && byte == b'\\');
            continue;
        }
        match byte {
            b' ' => {}
            b'{' | b'[' => {
                out.push(byte);
                if bytes.peek() == Some(&(byte + 2)) {
                    // Empty: `{` and `}`, `[` and `]` are two apart.
                    out.extend(bytes.next());
                } else {
                    depth += 1;
                    new_line(&mut out, depth);
                }
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut out, depth);
                out.push(byte);
            }
            b',' => {
                out.push(byte);
                new_line(&mut out, depth);
            }
            b':' => out.extend_from_slice(b": "),
            b'"' => {
                in_text = true;
                out.push(byte);
            }
            other => out.push(other),
        }
    }
    out.push(b'\n');
    out.into()
}

fn new_line(out: &mut Vec<u8>, depth: usize) {
    out.push(b'\n');
    out.resize(out.len() + depth * 2, b' ');
}
