//! Doc comments of Rust as the descriptions that they were made of.

/// A comment without its `///`, and without what keeps rustdoc from reading it as Markdown.
pub fn plain(lines: &[&str]) -> String {
    let lines: Vec<&str> = lines.iter().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    let mut plain = String::new();
    let mut signs = lines.join("\n").chars().collect::<Vec<_>>().into_iter().peekable();
    while let Some(sign) = signs.next() {
        // A backslash stands before each sign that means something to Markdown, and before itself.
        match signs.peek() {
            Some(next) if sign == '\\' && !next.is_alphanumeric() && !next.is_whitespace() => {
                plain.extend(signs.next())
            }
            _ => plain.push(sign),
        }
    }
    plain
}

/// A comment of a .proto file as OpenAPI has it: markers are gone, lines are joined, and what is indented stays on lines of
/// its own.
pub fn joined(lines: &[&str]) -> String {
    let text = plain(lines);
    let mut joined = String::new();
    let (mut gap, mut bullet) = ("", false);
    for line in text.lines().map(str::trim_end).take_while(|line| *line != "---") {
        if line.starts_with('+') || line.starts_with("TODO") {
            continue;
        }
        if line.is_empty() {
            (gap, bullet) = ("\n\n", false);
            continue;
        }
        bullet |= line.starts_with("- ");
        let indented = line.starts_with(' ');
        let between = if indented && gap == " " { "\n" } else { gap };
        joined.push_str(if joined.is_empty() { "" } else { between });
        // What belongs to a bullet stands below its first word.
        joined.push_str(if bullet {
            line.strip_prefix(' ').filter(|rest| rest.starts_with("  ")).unwrap_or(line)
        } else {
            line
        });
        gap = if indented { "\n" } else { " " };
    }
    unlink(&joined)
}

/// Links stand in angle brackets, for rustdoc.
fn unlink(text: &str) -> String {
    let mut parts = text.split("<http");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str("http");
        plain.push_str(&part.replacen('>', "", 1));
    }
    plain
}

/// The inside of a JSON string.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '"' => escaped.push_str("\\\""),
            '\\' => escaped.push_str("\\\\"),
            '\n' => escaped.push_str("\\n"),
            '\t' => escaped.push_str("\\t"),
            sign if sign < ' ' => escaped.push_str(&format!("\\u{:04x}", sign as u32)),
            sign => escaped.push(sign),
        }
    }
    escaped
}
